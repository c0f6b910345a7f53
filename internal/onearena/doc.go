// Package onearena has C's allocator take all memory of a process from one arena, by being imported: those who
// run a topology in a process of its own import it. A program that calls shell.Run itself, beside other
// users of C, decides for itself: docs/memory.md.
package onearena
