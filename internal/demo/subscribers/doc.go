/*
Package subscribers is the demo of publish and subscribe: three groups on one topic, one of
them slow, and a fourth that comes later. loss_test.go shows what retention and compaction
lose, slow_test.go what a slow one holds in memory.
*/
package subscribers
