//go:build limpetbugs

package sim

import (
	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
)

// The core imports nothing, so it is told.
func init() { core.Planted = invariant.Bug }
