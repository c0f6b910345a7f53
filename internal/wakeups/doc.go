/*
Package wakeups tests that none gets lost: whatever a worker waits for, it goes on at once when that
comes, also where it comes between the look that found nothing and the waiting.

	go test ./internal/wakeups
	go test -race ./internal/wakeups

The whole of package shell runs over a broker in memory, on a clock that stands still while anybody
has something to do (testing/synctest). Commits are made for their size, and all times are an hour: so
where a record comes out, and the clock has not moved, no timer has helped. A wake-up that
is lost moves the clock, since everybody waits then, and fails the test.

The waiting in shell/kafka is tested there.
*/
package wakeups
