// Package workload makes the records that contenders process, the same for each from a
// seed, and checks what they made of them.
package workload
