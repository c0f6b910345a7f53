/*
Package reorder brings the readings of sensors into the order of their numbers:

	readings -> Reorder by number, grace -> series (Follow) -> readings-in-order
	                                           |
	                                           +-> reading-gaps

A reading that comes early waits for those before it, until grace is over. What never came in
time is told as a gap.
*/
package reorder
