package kafkatest

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// Version of Kafka, as in pom.xml.
const Version = "4.3.1"

const envCache = "LIMPET_KAFKA_CACHE"

var (
	//go:embed pom.xml
	pom []byte
	//go:embed log4j2.yaml
	logging []byte
)

// dist is what it takes to run Kafka: a Java and the jars.
type dist struct {
	java java
	dir  string // holds libs/*.jar, pom.xml, log4j2.yaml, and the class archives
	// record, when set, makes the JVM write its class archive there at its end.
	record string
}

// Fetch brings the jars into the cache folder, unless they are there, and
// returns that folder. Start does it too.
func Fetch(ctx context.Context) (string, error) {
	d, err := fetch(ctx)
	return d.dir, err
}

func fetch(ctx context.Context) (dist, error) {
	j, err := findJava(ctx)
	if err != nil {
		return dist{}, err
	}
	dir, err := cacheDir()
	if err != nil {
		return dist{}, err
	}
	d := dist{java: j, dir: dir}
	if whole(dir) && d.archived() {
		return d, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return dist{}, fmt.Errorf("kafkatest: %w", err)
	}
	// The other test binaries wait here; the lock goes with its process.
	unlock, err := lockedfile.MutexAt(dir + ".lock").Lock()
	if err != nil {
		return dist{}, fmt.Errorf("kafkatest: %w", err)
	}
	defer unlock()
	if !whole(dir) {
		if err := download(ctx, dir); err != nil {
			return dist{}, err
		}
	}
	if !d.archived() {
		if err := d.archive(ctx); err != nil {
			return dist{}, err
		}
	}
	return d, nil
}

func cacheDir() (string, error) {
	base := os.Getenv(envCache)
	if base == "" {
		c, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("kafkatest: %w (%s names a folder)", err, envCache)
		}
		base = filepath.Join(c, "limpet")
	}
	abs, err := filepath.Abs(base)
	return filepath.Join(abs, "kafka-"+Version), err
}

// whole tells whether dir holds the jars of this very pom.xml.
func whole(dir string) bool {
	have, err := os.ReadFile(filepath.Join(dir, "pom.xml"))
	return err == nil && bytes.Equal(have, pom)
}

// download fills a folder beside dir and moves it into place as the last thing,
// so that dir is whole or not there.
func download(ctx context.Context, dir string) error {
	mvn, err := findMaven()
	if err != nil {
		return fmt.Errorf("kafkatest: Kafka's jars are not in %s, and to fetch them: %w", dir, err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "fetching-*")
	if err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	// MkdirTemp's folder is the user's alone; the one in its place need not be.
	fresh := filepath.Join(tmp, "kafka")
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	for name, text := range map[string][]byte{"pom.xml": pom, "log4j2.yaml": logging} {
		if err := os.WriteFile(filepath.Join(fresh, name), text, 0o644); err != nil {
			return fmt.Errorf("kafkatest: %w", err)
		}
	}
	libs := filepath.Join(fresh, "libs")
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "--strict-checksums", "-f", filepath.Join(fresh, "pom.xml"),
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+libs)
	cmd.SysProcAttr = ownGroup()
	if out, err := output(cmd); err != nil {
		return fmt.Errorf("kafkatest: fetching Kafka's jars: mvn: %w\n%s", err, tail(out, tailLines))
	}
	if jars, _ := filepath.Glob(filepath.Join(libs, "kafka-server-*.jar")); len(jars) == 0 {
		return fmt.Errorf("kafkatest: mvn was content, but %s has no kafka-server jar", libs)
	}
	if err := os.Rename(dir, filepath.Join(tmp, "old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("kafkatest: %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	return nil
}

// A class archive (the JVM's AppCDS) saves two thirds of the time in which a
// node is formatted and started. It fits one Java only, and is made by a node
// that is started once and stopped for that purpose.
func (d dist) archiveFile() string { return filepath.Join(d.dir, "classes-"+d.java.version+".jsa") }

// archived: there is an archive, or this Java was found unable to make one.
func (d dist) archived() bool {
	_, err := os.Stat(d.archiveFile())
	_, failed := os.Stat(d.archiveFile() + ".failed")
	return err == nil || failed == nil
}

func (d dist) archive(ctx context.Context) error {
	tmp, err := os.MkdirTemp(d.dir, "archiving-*")
	if err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	d.record = filepath.Join(tmp, "classes.jsa")
	err = func() error {
		c, err := open(ctx, d, Config{Dir: filepath.Join(tmp, "cluster")}.withDefaults())
		if err != nil {
			return err
		}
		c.keep = true // the archive is written at a clean end
		return errors.Join(c.Close(), os.Rename(d.record, d.archiveFile()))
	}()
	if err != nil && ctx.Err() == nil {
		// Only speed is lost. What keeps a node from starting at all is told by the next one.
		return os.WriteFile(d.archiveFile()+".failed", []byte(err.Error()+"\n"), 0o644)
	}
	return ctx.Err()
}

// command runs a main class of Kafka's in a folder, where all that it writes stays.
func (d dist) command(ctx context.Context, folder, class string, args ...string) *exec.Cmd {
	jvm := []string{
		"-Xmx512m", "-XX:+UseSerialGC",
		"-XX:-UsePerfData", "-Djava.io.tmpdir=" + folder, // else a killed JVM leaves files in /tmp
		"-Dlog4j2.configurationFile=" + filepath.Join(d.dir, "log4j2.yaml"),
		"-cp", filepath.Join(d.dir, "libs") + string(filepath.Separator) + "*",
	}
	if _, err := os.Stat(d.archiveFile()); err == nil {
		jvm = append(jvm, "-XX:SharedArchiveFile="+d.archiveFile())
	} else if d.record != "" && class == brokerClass {
		jvm = append(jvm, "-XX:ArchiveClassesAtExit="+d.record)
	}
	cmd := exec.CommandContext(ctx, d.java.path, append(append(jvm, class), args...)...)
	cmd.Dir, cmd.SysProcAttr = folder, ownGroup()
	return cmd
}

// java is a Java found on this machine.
type java struct {
	path    string
	version string // "17.0.15"
}

const javaMin = 17 // Kafka 4's brokers

var javaVersion = regexp.MustCompile(`version "((\d+)[^"]*)"`)

// findJava takes JAVA_HOME's, else the PATH's, and looks at its version.
func findJava(ctx context.Context) (java, error) {
	path := "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		path = filepath.Join(home, "bin", "java")
	}
	path, err := exec.LookPath(path)
	if err != nil {
		return java{}, fmt.Errorf("java %d or newer: %w", javaMin, err)
	}
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput()
	if err != nil {
		return java{}, fmt.Errorf("java %d or newer: %s -version: %w", javaMin, path, err)
	}
	m := javaVersion.FindSubmatch(out)
	if m == nil {
		return java{}, fmt.Errorf("java %d or newer: %s -version says %q", javaMin, path, out)
	}
	if major, _ := strconv.Atoi(string(m[2])); major < javaMin {
		return java{}, fmt.Errorf("java %d or newer: %s is %s", javaMin, path, m[1])
	}
	return java{path: path, version: string(m[1])}, nil
}

func findMaven() (string, error) { return exec.LookPath("mvn") }
