/*
Package prices is the demo of request and response: questions come in, a service answers,
and each question must find its answer, once.
*/
package prices
