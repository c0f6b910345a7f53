package invariant

// observer is told of each state that was reached; nil: nobody wants to know.
var observer func(name string)

// Observe sets who is told what Sometimes reports, from any goroutine. It must be called before anything that
// reports is begun.
func Observe(f func(name string)) { observer = f }

// Observer is who is told, nil if nobody: for package core, which imports nothing.
func Observer() func(name string) { return observer }

// Sometimes reports that the program is in a state that some run of the simulator must
// reach: what is never reached is not tested either.
func Sometimes(name string) {
	if observer != nil {
		observer(name)
	}
}
