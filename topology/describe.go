package topology

// Format is a way to draw a plan.
type Format int

// The formats of Describe.
const (
	AsText Format = iota
	AsDot
	AsMermaid
	AsJSON
)

// Describe draws the plan.
func (p *Plan) Describe(f Format) string { return "" }
