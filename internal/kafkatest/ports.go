package kafkatest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are given out in blocks of ten. The first port of a block is held by
// the test process itself for as long as its cluster lives, the others are the
// nodes': so two test binaries cannot choose the same ones, not even while a
// node is down, and nothing is left over when the process dies.
//
// The range lies below the ports that systems hand to outgoing connections
// (32768 on Linux, 49152 elsewhere). From within that range a client that dials
// a dead node's port over and over may be given that very port as its own and
// so connect to itself, which also keeps the node from coming back.
const (
	portsFrom = 20000
	portsTo   = 32000
	blockSize = 10
)

// claimPorts finds a free block. The first port to use is the one after the
// claim's; closing the claim gives the block back.
func claimPorts() (claim net.Listener, first int, err error) {
	for _, b := range rand.Perm((portsTo - portsFrom) / blockSize) {
		base := portsFrom + b*blockSize
		l, err := listen(base)
		if err != nil {
			continue // someone else's
		}
		if allFree(base+1, blockSize-1) {
			return l, base + 1, nil
		}
		_ = l.Close()
	}
	return nil, 0, errors.New("kafkatest: no ten free ports in a row on 127.0.0.1")
}

func allFree(first, n int) bool {
	for p := first; p < first+n; p++ {
		l, err := listen(p)
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
}
