//go:build linux && cgo

package onearena

// #include <malloc.h>
// #include <stdlib.h>
//
// __attribute__((constructor)) static void one_arena(void) {
// #ifdef M_ARENA_MAX // glibc has it
// 	if (getenv("MALLOC_ARENA_MAX") == NULL)
// 		mallopt(M_ARENA_MAX, 1);
// #endif
// }
import "C"

// C's allocator takes all memory from one arena, unless the environment says otherwise. The store's
// blocks and memtables are C's. glibc has an arena for each thread, up to eight a processor, and
// goroutines go from thread to thread: so each arena comes to have what it ever needed, most of it
// free, with some block in use behind it, and nothing of it goes back. It is said before Go begins,
// since a thread keeps the arena that it has, and Go's threads have theirs from their beginning.
