package cli

import (
	"errors"
	"fmt"

	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/shell/kafka"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInvalid     = 3
	exitUnreachable = 4
)

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(f string, a ...any) error { return usageError{fmt.Errorf(f, a...)} }

// exitCode tells what kind of failure err is.
func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, shell.ErrUnreachable):
		return exitUnreachable
	}
	for _, invalid := range []error{
		errSettings, topology.ErrInvalid, shell.ErrConfig, shell.ErrTopic, kafka.ErrConfig,
		statestore.ErrApp, statestore.ErrSchema, statestore.ErrForeign, statestore.ErrVersion,
	} {
		if errors.Is(err, invalid) {
			return exitInvalid
		}
	}
	return exitFailure
}
