package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// The switches. Neither of the first two set: tests that need Kafka are skipped.
const (
	envUse     = "LIMPET_KAFKA"         // 1: run them where Java and Maven are there
	envRequire = "LIMPET_REQUIRE_KAFKA" // 1: run them, and fail where something is missing
	envKeep    = "LIMPET_KAFKA_KEEP"    // a folder: clusters of tests that failed are kept in it
)

// Require lets the test go on only where it can have a real Kafka; otherwise it
// is skipped, or fails when LIMPET_REQUIRE_KAFKA=1. Start calls it too: call it
// yourself before costly preparations.
func Require(t testing.TB) {
	t.Helper()
	switch skip, err := verdict(os.Getenv, testing.Short(), missing); {
	case err != nil:
		t.Fatal(err)
	case skip != "":
		t.Skip(skip)
	}
}

// verdict is Require's decision: a reason to skip, a reason to fail, or neither.
func verdict(getenv func(string) string, short bool, missing func() []string) (skip string, err error) {
	require := getenv(envRequire) == "1"
	if !require {
		if getenv(envUse) != "1" {
			return fmt.Sprintf("NO REAL KAFKA: set %s=1 to run this test against one (%s=1 to fail where it cannot run)", envUse, envRequire), nil
		}
		if short {
			return "NO REAL KAFKA: -short", nil
		}
	}
	m := missing()
	if len(m) == 0 {
		return "", nil
	}
	reason := "NO REAL KAFKA, missing: " + strings.Join(m, "; ")
	if require {
		return "", errors.New("kafkatest: " + reason + " (and " + envRequire + "=1)")
	}
	return reason, nil
}

// missing names what this machine lacks, with what to install.
func missing() []string {
	if !canSignal {
		return []string{"a Unix system (nodes are paused and killed by signals)"}
	}
	var m []string
	if _, err := findJava(context.Background()); err != nil {
		m = append(m, err.Error()+" (Debian: openjdk-17-jre-headless)")
	}
	if dir, err := cacheDir(); err != nil {
		m = append(m, err.Error())
	} else if !whole(dir) {
		if _, err := findMaven(); err != nil {
			m = append(m, "mvn, to fetch Kafka's jars once (Debian: maven)")
		}
	}
	return m
}
