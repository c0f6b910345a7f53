/*
Package readings is the demo of reordering: sensors whose readings overtake each other, come
too late, or never. The audit knows from the order in which they came which ones must be there.
*/
package readings
