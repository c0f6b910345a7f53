package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/snappy/xerial"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// The codecs by their numbers in a batch's attributes.
const (
	codecNone = iota
	codecGzip
	codecSnappy
	codecLZ4
	codecZstd
)

// inflatedMax bounds what a record, or a batch in one block of snappy, may grow to: a few bytes
// can claim to be gigabytes.
const inflatedMax = 256 << 20

// zstdWindow is the window that each decoder of zstd should have (RFC 8878, 3.1.1.1.2), and
// zstdWindowMax the largest that is read, as by the Java client. What asks for more is refused as a
// whole as well, where it would need no window: whether a batch can be read must not depend on how
// much of it may be held.
const (
	zstdWindow    = 8 << 20
	zstdWindowMax = 128 << 20
)

// errInflated says that a batch is larger, decompressed, than may be held as a whole.
var errInflated = errors.New("it is larger than may be held")

// inflater decompresses record batches. It is not safe for concurrent use.
type inflater struct {
	gzip *gzip.Reader
	lz4  *lz4.Reader
	zstd *zstd.Decoder
	buf  bytes.Buffer
}

// inflate decompresses to dst, or to memory of its own where that is too small. What is larger than
// most bytes is errInflated.
func (d *inflater) inflate(codec int, dst, src []byte, most int) (out []byte, err error) {
	switch codec {
	case codecGzip, codecLZ4:
		var r io.Reader
		if r, err = d.reader(codec, src); err == nil {
			out, err = d.drain(dst, r, most)
		}
	case codecSnappy:
		var size int
		if size, err = snappySize(src, most); err == nil {
			out, err = xerial.DecodeCapped(slices.Grow(dst[:0], size), src)
		}
	case codecZstd:
		if d.zstd == nil {
			if d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(max(most, zstdWindow)))); err != nil {
				return nil, err
			}
		}
		var window uint64
		if window, err = zstdSize(src); err == nil && window > uint64(max(most, zstdWindow)) {
			err = errInflated // the decoder takes no larger ones than what it makes
		} else if err == nil {
			out, err = d.zstd.DecodeAll(src, dst[:0])
		}
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			err = errInflated
		}
	default:
		err = errors.New("unknown codec")
	}
	if err == nil && len(out) > most {
		err = errInflated
	}
	if err != nil {
		return nil, inflateError(codec, err)
	}
	return out, nil
}

func inflateError(codec int, err error) error {
	return fmt.Errorf("kafka: decompress a record batch (codec %d): %w", codec, err)
}

// reader decompresses bit by bit, for batches that are not to be held as a whole.
func (d *inflater) reader(codec int, src []byte) (io.Reader, error) {
	switch codec {
	case codecGzip:
		if d.gzip == nil {
			d.gzip = new(gzip.Reader)
		}
		return d.gzip, d.gzip.Reset(bytes.NewReader(src))
	case codecLZ4:
		if d.lz4 == nil {
			d.lz4 = lz4.NewReader(nil)
		}
		d.lz4.Reset(bytes.NewReader(src))
		return d.lz4, nil
	case codecSnappy:
		if rest, framed := bytes.CutPrefix(src, xerialMagic); framed && len(rest) >= xerialHead-len(xerialMagic) {
			return &xerialReader{src: src[xerialHead:]}, nil
		}
		whole, err := d.inflate(codec, nil, src, inflatedMax) // one block
		return bytes.NewReader(whole), err
	}
	// It keeps a window of memory, so it is not kept. With a concurrency of one it has no goroutine.
	return zstd.NewReader(bytes.NewReader(src), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindowMax))
}

// xerialReader reads blocks of snappy in xerial's framing.
type xerialReader struct {
	src, buf, left []byte
}

func (r *xerialReader) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		block, rest, err := xerialBlock(r.src)
		if err != nil {
			return 0, err
		}
		if _, err := snappyBlock(block); err != nil {
			return 0, err
		}
		if r.buf, err = snappy.Decode(r.buf[:cap(r.buf)], block); err != nil {
			return 0, err
		}
		r.src, r.left = rest, r.buf
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// xerialBlock cuts the first block off: its length, and itself; io.EOF: there is none.
func xerialBlock(src []byte) (block, rest []byte, err error) {
	if len(src) < 4 {
		return nil, nil, io.EOF
	}
	n := binary.BigEndian.Uint32(src)
	if src = src[4:]; uint64(n) > uint64(len(src)) {
		return nil, nil, xerial.ErrMalformed
	}
	return src[:n], src[n:], nil
}

// Decoders of snappy and zstd allocate what a block claims to be before they look at it. So the
// claim must be one that so many bytes can make true: a copy of snappy is 3 bytes for 64, a block
// of zstd 4 bytes for 128 KiB.
const (
	snappyRatio = 22
	zstdRatio   = 128 << 10 / 4
)

// Xerial's framing is a head of magic and versions, then lengths and blocks.
const xerialHead = 16

var xerialMagic = []byte("\x82SNAPPY\x00")

// snappySize is what plain snappy, or blocks of it in xerial's framing, claim to be.
func snappySize(src []byte, most int) (total int, err error) {
	if !bytes.HasPrefix(src, xerialMagic) {
		if total, err = snappyBlock(src); err == nil && total > most {
			err = errInflated
		}
		return total, err
	}
	for rest := src[min(xerialHead, len(src)):]; ; {
		var block []byte
		if block, rest, err = xerialBlock(rest); errors.Is(err, io.EOF) {
			return total, nil
		} else if err != nil {
			return 0, err
		}
		size, err := snappyBlock(block)
		if err != nil {
			return 0, err
		}
		if total += size; total > most {
			return 0, errInflated
		}
	}
}

func snappyBlock(src []byte) (int, error) {
	n, err := snappy.DecodedLen(src)
	if err == nil && n > len(src)*snappyRatio {
		err = snappy.ErrCorrupt
	}
	return n, err
}

// zstdSize looks at all frames: a batch may be several, and some may be there to be skipped. It tells
// the largest window of them.
func zstdSize(src []byte) (window uint64, err error) {
	most := uint64(len(src)) * zstdRatio
	for len(src) > 0 {
		var h zstd.Header
		if err := h.Decode(src); err != nil {
			return 0, err
		}
		if h.HasFCS && h.FrameContentSize > most {
			return 0, zstd.ErrFrameSizeExceeded
		}
		if h.SingleSegment {
			h.WindowSize = h.FrameContentSize
		}
		if window = max(window, h.WindowSize); window > zstdWindowMax {
			return 0, zstd.ErrWindowSizeExceeded
		}
		n := zstdFrame(&h, src)
		if n > uint64(len(src)) {
			return 0, io.ErrUnexpectedEOF
		}
		src = src[n:]
	}
	return window, nil
}

// zstdFrame is how long the first frame of src is, by its header and those of its blocks
// (RFC 8878, 3.1). Where src ends within it, that is more than src has.
func zstdFrame(h *zstd.Header, src []byte) uint64 {
	at := uint64(h.HeaderSize)
	if h.Skippable {
		return at + uint64(h.SkippableSize)
	}
	for last := false; !last; {
		if at+3 > uint64(len(src)) {
			return at + 3
		}
		head := uint32(src[at]) | uint32(src[at+1])<<8 | uint32(src[at+2])<<16
		at += 3
		if last = head&1 != 0; head>>1&3 == 1 { // a byte that is repeated
			at++
		} else {
			at += uint64(head >> 3)
		}
	}
	if h.HasCheckSum {
		at += 4
	}
	return at
}

// drain reads into a buffer that is kept, and copies: the batch then has the exact size,
// and the buffer grows once.
func (d *inflater) drain(dst []byte, r io.Reader, most int) ([]byte, error) {
	d.buf.Reset()
	n, err := d.buf.ReadFrom(io.LimitReader(r, int64(most)+1))
	if err == nil && n > int64(most) {
		err = errInflated
	}
	out := append(dst[:0], d.buf.Bytes()...)
	if d.buf.Cap() > 8<<20 {
		d.buf = bytes.Buffer{}
	}
	return out, err
}

func (d *inflater) close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
}

// deflater compresses record batches. It is not safe for concurrent use.
type deflater struct {
	gzip *gzip.Writer
	lz4  *lz4.Writer
	zstd *zstd.Encoder
	buf  bytes.Buffer
}

// deflate appends src, compressed, to dst.
func (d *deflater) deflate(codec int8, dst, src []byte) ([]byte, error) {
	d.buf.Reset()
	switch codec {
	case codecGzip:
		if d.gzip == nil {
			d.gzip = gzip.NewWriter(nil)
		}
		d.gzip.Reset(&d.buf)
		return d.through(d.gzip, dst, src)
	case codecSnappy:
		return append(dst, xerial.Encode(nil, src)...), nil
	case codecLZ4:
		if d.lz4 == nil {
			d.lz4 = lz4.NewWriter(nil)
			if err := d.lz4.Apply(lz4.BlockSizeOption(lz4.Block64Kb)); err != nil {
				return nil, err
			}
		}
		d.lz4.Reset(&d.buf)
		return d.through(d.lz4, dst, src)
	case codecZstd:
		if d.zstd == nil {
			var err error
			if d.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true)); err != nil {
				return nil, err
			}
		}
		return d.zstd.EncodeAll(src, dst), nil
	}
	return append(dst, src...), nil
}

func (d *deflater) through(w io.WriteCloser, dst, src []byte) ([]byte, error) {
	_, err := w.Write(src)
	if e := w.Close(); err == nil {
		err = e
	}
	return append(dst, d.buf.Bytes()...), err
}
