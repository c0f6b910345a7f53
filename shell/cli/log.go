package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// logSettings are those of every command.
type logSettings struct{ level, format string }

func (l *logSettings) register(s *settings, level string) {
	s.enum(&l.level, "log-level", level, "least important messages to log", "debug", "info", "warn", "error")
	s.enum(&l.format, "log-format", "text", "form of the log lines", "text", "json")
}

func (l *logSettings) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		level = slog.LevelInfo // the flag takes none that it cannot read
	}
	o := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(w, o)
	if l.format == "json" {
		h = slog.NewJSONHandler(w, o)
	}
	return slog.New(placed{h})
}

// placed adds to a record the place of each error in it: task, topic, partition and
// offset as attributes, so that a log can be searched for them.
type placed struct{ slog.Handler }

func (h placed) Handle(ctx context.Context, r slog.Record) error {
	var at []slog.Attr
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			at = place(err)
		}
		return len(at) == 0
	})
	r.AddAttrs(at...)
	return h.Handler.Handle(ctx, r)
}

func (h placed) WithAttrs(as []slog.Attr) slog.Handler { return placed{h.Handler.WithAttrs(as)} }
func (h placed) WithGroup(name string) slog.Handler    { return placed{h.Handler.WithGroup(name)} }

func place(err error) []slog.Attr {
	var re *core.RecordError
	if errors.As(err, &re) {
		as := []slog.Attr{
			slog.String("task", re.Task.String()), slog.String("topic", re.Topic), slog.Int("partition", int(re.Task.Partition)),
			slog.Int64("offset", int64(re.Offset)), slog.String("node", re.Node),
		}
		if re.Func != "" {
			as = append(as, slog.String("func", re.Func))
		}
		if len(re.Stack) > 0 {
			as = append(as, slog.String("stack", string(re.Stack)))
		}
		return as
	}
	var oe *shell.OffsetError
	if errors.As(err, &oe) {
		return []slog.Attr{slog.String("topic", oe.Topic), slog.Int("partition", int(oe.ID)), slog.Int64("offset", int64(oe.Want))}
	}
	return nil
}

// events are the shell's events as log lines.
func events(log *slog.Logger) shell.Events {
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return shell.Events{}
	}
	return shell.Events{
		Committed: func(c shell.CommitInfo) {
			log.Debug("committed", "worker", c.Worker, "records", c.Records, "outputs", c.Outputs, "rows", c.Rows, "took", c.Took.String())
			for p, next := range c.Position {
				log.Debug("position", "topic", p.Topic, "partition", p.ID, "offset", int64(next))
			}
		},
		Closed: func(id core.TaskID) { log.Debug("task closed", "task", id.String()) },
	}
}
