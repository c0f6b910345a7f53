/*
Package pageviews counts page views: per minute, once each minute is over, with the late
ones apart; and per visit, which ends when a user does nothing for half an hour.
*/
package pageviews
