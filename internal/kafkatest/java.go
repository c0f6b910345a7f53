package kafkatest

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Java builds the application whose pom.xml is in sources into dir with Maven, unless it is there
// and its sources are older, and returns its class path. The pom builds into ${java.build}.
func Java(ctx context.Context, sources, dir string) (classpath string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	newest := time.Time{}
	if err := filepath.WalkDir(sources, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		if err == nil && i.ModTime().After(newest) {
			newest = i.ModTime()
		}
		return err
	}); err != nil {
		return "", err
	}
	classpath = filepath.Join(dir, "classes") + ":" + filepath.Join(dir, "dependency", "*")
	stamp := filepath.Join(dir, "built")
	if i, err := os.Stat(stamp); err == nil && i.ModTime().After(newest) {
		return classpath, nil
	}
	mvn, err := findMaven()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", filepath.Join(sources, "pom.xml"), "-Djava.build="+dir, "compile", "dependency:copy-dependencies")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("kafkatest: mvn in %s: %w\n%s", sources, err, out)
	}
	return classpath, os.WriteFile(stamp, nil, 0o644)
}
