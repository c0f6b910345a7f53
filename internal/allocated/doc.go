/*
Package allocated bounds what a function may allocate, for tests of decoders. One that makes room
for a length that it has read, before it knows that so many bytes follow, lets whoever wrote
those bytes choose how much memory that is:

	f.Fuzz(func(t *testing.T, src []byte) {
		allocated.Within(t, "the decoder", allocated.For(len(src)), func() { v, err = decode(src) })
		...
	})
*/
package allocated
