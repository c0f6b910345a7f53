/*
Package emailservice writes a mail for each order, with the customer's data as it was
when the order came. It asks no customer service: customers are a table.

	customers (table) ------------------+
	                                    v
	orders -> key by customer -> join with customer -> emails

Compose is the business: a pure function with a plain table test. Topology says what
flows where, and its test runs it with no Kafka.

Complete is the same for a world in which customers come late, change, are deleted and get new
fields: each order leads to one mail or one note.
*/
package emailservice
