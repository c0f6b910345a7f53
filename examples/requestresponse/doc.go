/*
Package requestresponse asks a service over two topics and finds the answer again by its
correlation id, which the service passes on without knowing.

	price-questions -> client -> price-requests -> service -> price-responses
	                                   |                            |
	                                   +--> client: join by correlation, in time -> price-outcomes

Whoever has a question need not know of correlation: the client's requests get their ids from
the questions' place in the topic, so that a replay makes the same.
*/
package requestresponse
