package core

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// appending appends as it should; owned returns bytes of its own, as a codec may.
type appending struct{}

func (appending) Append(b []byte, v []byte) ([]byte, error) { return append(b, v...), nil }
func (appending) Decode(b []byte) ([]byte, error)           { return b, nil }

type owned struct{ appending }

func (owned) Append(_ []byte, v []byte) ([]byte, error) { return bytes.Clone(v), nil }

// Slices of the arena keep their bytes until it is reset, whatever their sizes, and
// appending to one does not write into the next.
func TestArenaKeepsBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a arena
		for range rapid.IntRange(1, 3).Draw(t, "generations") {
			var got, want [][]byte
			size := 0
			var mark arenaMark
			marked, sizeThen := -1, 0 // how many there were
			for i := range rapid.IntRange(0, 60).Draw(t, "n") {
				switch rapid.IntRange(0, 9).Draw(t, "mark") {
				case 0:
					mark, marked, sizeThen = a.mark(), len(got), size
				case 1:
					if marked >= 0 {
						a.free(mark)
						got, want, size = got[:marked], want[:marked], sizeThen
					}
				}
				n := rapid.SampledFrom([]int{0, 1, 7, 100, 5000, arenaChunk / 4, arenaChunk/4 + 1, arenaChunk - 3, arenaChunk + 9}).Draw(t, "size")
				v := bytes.Repeat([]byte{byte(i + 1)}, n)
				c := Codec[[]byte](appending{})
				if rapid.IntRange(0, 4).Draw(t, "owned") == 0 {
					c = owned{}
				}
				b, err := encode(&a, c, v)
				if err != nil || b == nil {
					t.Fatalf("%v, %v", b, err)
				}
				size += n
				got, want = append(got, b), append(want, v)
				_ = append(b, 0xee)
			}
			for i := range got {
				if !bytes.Equal(got[i], want[i]) {
					t.Fatalf("slice %d of %d bytes was overwritten", i, len(want[i]))
				}
			}
			if a.size != size {
				t.Fatalf("size %d, want %d", a.size, size)
			}
			a.reset()
		}
	})
}
