/*
Package randomtopo draws topologies at random, for tests that must hold for any: those of
package topology, and the simulator.
*/
package randomtopo
