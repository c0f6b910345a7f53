/*
Package accounts is the demo of event sourcing: commands at random for many accounts, some
of which must be refused. The audit decides all commands again, and folds all events.
*/
package accounts
