package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// A setting is a flag, an environment variable and a key of the YAML file, all of one
// name: --commit-interval, LIMPET_COMMIT_INTERVAL, commit-interval. The flag wins over
// the environment, that over the file, and the file over the default. All three go
// through the flag's Value, so they take the same texts.

// errSettings marks settings that cannot be used, wherever they come from.
var errSettings = errors.New("invalid configuration")

const envPrefix = "LIMPET_"

// origin is where a setting's value comes from; a greater one wins.
type origin uint8

const (
	fromDefault origin = iota
	fromFile
	fromEnv
	fromFlag
)

// settings is a set of flags that may also be given by environment and file.
type settings struct {
	*pflag.FlagSet
	origins map[string]origin
}

func newSettings() *settings {
	s := &settings{FlagSet: pflag.NewFlagSet("", pflag.ContinueOnError), origins: map[string]origin{}}
	s.SortFlags = false
	return s
}

// enum is a setting that takes one of a few words.
func (s *settings) enum(p *string, name, def, usage string, allowed ...string) {
	*p = def
	s.Var(&enum{p, allowed}, name, usage+": "+strings.Join(allowed, ", "))
}

func (s *settings) secret(p *secret, name, usage string) { s.Var(p, name, usage) }

// origin tells where the value comes from, once resolve has run.
func (s *settings) origin(name string) origin { return s.origins[name] }

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// resolve fills in what the command line did not say. file may be "". It reports all
// that is wrong at once.
func (s *settings) resolve(env []string, file string) error {
	var errs []error
	values, err := readFile(file)
	if err != nil {
		return err
	}
	vars := map[string]string{}
	for _, e := range env {
		if k, v, ok := strings.Cut(e, "="); ok && strings.HasPrefix(k, envPrefix) {
			vars[k] = v
		}
	}
	s.VisitAll(func(f *pflag.Flag) {
		inFile, ok := values[f.Name]
		delete(values, f.Name)
		v, inEnv := vars[envName(f.Name)]
		switch {
		case f.Changed:
			s.origins[f.Name] = fromFlag
			return
		case inEnv:
			s.origins[f.Name] = fromEnv
			if err := set(f, v); err != nil {
				errs = append(errs, fmt.Errorf("%w: %s: %w", errSettings, envName(f.Name), err))
			}
		case ok:
			s.origins[f.Name] = fromFile
			text, err := inFile.text()
			if err == nil {
				err = set(f, text)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%w: %s, line %d, %s: %w", errSettings, file, inFile.line, f.Name, err))
			}
		}
	})
	for _, k := range sortedKeys(values) {
		errs = append(errs, fmt.Errorf("%w: %s, line %d: unknown key %q%s", errSettings, file, values[k].line, k, s.didYouMean(k)))
	}
	return errors.Join(errs...)
}

// set sets a flag; its errors say what is wanted.
func set(f *pflag.Flag, v string) error {
	err := f.Value.Set(v)
	if err == nil {
		return nil
	}
	switch f.Value.Type() {
	case "int":
		return fmt.Errorf("%q is not a number", v)
	case "bool":
		return fmt.Errorf("%q is neither true nor false", v)
	case "duration":
		return fmt.Errorf("%q is not a duration such as 100ms or 2s", v)
	}
	return err
}

// typos names environment variables that are almost those of a setting: one that is
// misspelt would be ignored in silence.
func (s *settings) typos(env []string) (hints []string) {
	for _, e := range env {
		k, _, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(k, envPrefix) {
			continue
		}
		near, known := "", false
		s.VisitAll(func(f *pflag.Flag) {
			known = known || envName(f.Name) == k
			if distance(envName(f.Name), k) <= 2 {
				near = envName(f.Name)
			}
		})
		if !known && near != "" {
			hints = append(hints, fmt.Sprintf("%s is not read; %s would be", k, near))
		}
	}
	return hints
}

func (s *settings) didYouMean(key string) string {
	best, at := "", 4
	s.VisitAll(func(f *pflag.Flag) {
		if d := distance(f.Name, key); d < at {
			best, at = f.Name, d
		}
	})
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// fileValue is a value of the YAML file.
type fileValue struct {
	line int
	node *yaml.Node
}

// text is the value as a flag would have it.
func (v fileValue) text() (string, error) {
	switch v.node.Kind {
	case yaml.ScalarNode:
		if v.node.Tag == "!!null" {
			return "", errors.New("has no value")
		}
		return v.node.Value, nil
	case yaml.SequenceNode:
		var parts []string
		for _, n := range v.node.Content {
			if n.Kind != yaml.ScalarNode {
				return "", errors.New("must be a list of plain values")
			}
			parts = append(parts, n.Value)
		}
		return strings.Join(parts, ","), nil
	}
	return "", errors.New("must be a plain value or a list of such")
}

// fileMax bounds a file of settings.
const fileMax = 1 << 20

// readFile reads a flat YAML file. Its errors never quote the file, which may hold a
// password.
func readFile(name string) (map[string]fileValue, error) {
	if name == "" {
		return map[string]fileValue{}, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%w: --config: %w", errSettings, err)
	}
	return parseFile(name, b)
}

func parseFile(name string, b []byte) (map[string]fileValue, error) {
	if len(b) > fileMax {
		return nil, fmt.Errorf("%w: %s: %d bytes, at most %d may be", errSettings, name, len(b), fileMax)
	}
	values := map[string]fileValue{}
	root, err := mapping(b)
	if err != nil {
		where := ""
		if line := badLine(b); line > 0 {
			where = fmt.Sprintf(", line %d", line)
		}
		return nil, fmt.Errorf("%w: %s%s: %w", errSettings, name, where, err)
	}
	if root == nil {
		return values, nil
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		k := root.Content[i]
		if old, ok := values[k.Value]; ok {
			return nil, fmt.Errorf("%w: %s, line %d: %q was set in line %d already", errSettings, name, k.Line, k.Value, old.line)
		}
		values[k.Value] = fileValue{k.Line, root.Content[i+1]}
	}
	return values, nil
}

// mapping reads the one document of a file; it is nil where there is none. What the decoder says is
// left out, as it may quote the file.
func mapping(b []byte) (*yaml.Node, error) {
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(b))
	err := dec.Decode(&doc)
	if err == nil { // what follows --- would be passed over
		if err = dec.Decode(&more); err == nil {
			return nil, errors.New("a second document; settings are in one")
		}
	}
	switch {
	case !errors.Is(err, io.EOF):
		return nil, errors.New("not valid YAML; quote values with special characters")
	case len(doc.Content) == 0:
		return nil, nil
	case doc.Content[0].Kind != yaml.MappingNode:
		return nil, errors.New("want lines such as \"brokers: localhost:9092\"")
	}
	return doc.Content[0], nil
}

// searchMost bounds how much badLine reads again: what a file of 200 lines takes.
const searchMost = 1 << 20

// badLine is the line where a mistake begins: all before it are a mapping. A list or a text that is not closed
// begins there, too. The decoder has lines only of some mistakes, and those are of where it came from or one too
// few: go-yaml counts from 0 and adds 1 for errors of its scanner alone. 0: the file is too long to be searched.
func badLine(b []byte) int {
	lines := bytes.SplitAfter(b, []byte("\n"))
	end, left := len(b), searchMost
	for i := len(lines) - 1; i >= 0; i-- {
		end -= len(lines[i])
		if left -= end + 100; left < 0 {
			return 0
		}
		if _, err := mapping(b[:end]); err == nil {
			return i + 1
		}
	}
	return 0
}

// enum is a flag that takes one of a few words.
type enum struct {
	p       *string
	allowed []string
}

func (e *enum) Set(v string) error {
	if !slices.Contains(e.allowed, v) {
		return fmt.Errorf("want one of: %s", strings.Join(e.allowed, ", "))
	}
	*e.p = v
	return nil
}

func (e *enum) String() string {
	if e.p == nil {
		return ""
	}
	return *e.p
}

func (e *enum) Type() string { return "word" }

// secret is a value that is never printed: not by help, not by logs, not in errors. It
// is behind a pointer, so that fmt does not find it where it cannot call String either.
type secret struct{ v *string }

func (s *secret) Set(v string) error { s.v = &v; return nil }
func (s secret) String() string      { return "" }
func (s secret) GoString() string    { return "secret" }
func (s *secret) Type() string       { return "password" }

func (s secret) reveal() string {
	if s.v == nil {
		return ""
	}
	return *s.v
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// distance is how many letters have to change to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diag+cost)
		}
	}
	return row[len(b)]
}

// completeEnums has the shell complete the words that flags take.
func completeEnums(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if e, ok := f.Value.(*enum); ok {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(e.allowed, cobra.ShellCompDirectiveNoFileComp))
		}
	})
}
