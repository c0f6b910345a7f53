package pageviews

import (
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

type (
	// View is a look at a page.
	View struct{ Page, User string }
	// Visit is what a user did in one session.
	Visit struct {
		Views int
		First string
	}
)

// ByUser is the user of a view.
func (v View) ByUser() string { return v.User }

// The topics.
var (
	Views     = topology.NewTopic("views", codec.String, codec.JSON[View]()) // keyed by page
	LateViews = topology.NewTopic("views-late", codec.String, codec.JSON[View]())
	PerMinute = topology.NewTopic("views-per-minute", codec.Windowed(codec.String, time.Minute), codec.Int64)
	Visits    = topology.NewTopic("visits", codec.SessionWindowed(codec.String), codec.JSON[Visit]())
)

// See adds a view to a visit.
func (v Visit) See(view View) Visit {
	if v.Views == 0 {
		v.First = view.Page
	}
	v.Views++
	return v
}

// Merge unites two visits that turn out to be one.
func Merge(earlier, later Visit) Visit {
	return Visit{earlier.Views + later.Views, earlier.First}
}

// Topology counts views.
func Topology() *topology.Builder {
	b := topology.New("page-views")
	views := Views.Stream(b)

	perMinute := views.Window(topology.Tumbling(time.Minute).Grace(10 * time.Second))
	perMinute.Late().To(LateViews)
	topology.Count(perMinute, "views-per-minute", topology.EmitOnClose()).To(PerMinute)

	byUser := topology.KeyBy(views, "by-user", View.ByUser)
	visits := topology.Aggregate(byUser.Window(topology.Session(30*time.Minute)), "visits", Visit.See, topology.Merging(Merge))
	topology.Suppress(visits, "visits-over", topology.UntilClosed()).To(Visits)

	return b
}
