// Package limpet is the workloads on Limpet's whole shell: exactly once, state in Pebble.
package limpet
