/*
Package storetest is the contract of a state store as a test: whoever writes a
statestore.DB runs it, and every implementation passes the same one.

	func TestMyStore(t *testing.T) {
		storetest.Run(t, func(t testing.TB) storetest.Factory {
			return &factory{dir: t.TempDir()} // an empty place to open, crash and open again
		})
	}

It covers rows and scans, tombstones and empty values, checkpoints, what a crash may
lose, that tasks and tables do not see each other, refused schemas, and, with rapid,
random sequences of calls against a model.
*/
package storetest
