// Package placed is for tests of decoders: their errors must say where in the input they met what they do not accept.
package placed
