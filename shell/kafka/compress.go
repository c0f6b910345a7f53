package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
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

// inflatedMax bounds what a batch may grow to: a few bytes can claim to be gigabytes.
const inflatedMax = 256 << 20

var errInflated = errors.New("kafka: a record batch is larger than 256 MiB when decompressed")

// inflater decompresses record batches. It is not safe for concurrent use.
type inflater struct {
	gzip *gzip.Reader
	lz4  *lz4.Reader
	zstd *zstd.Decoder
	buf  bytes.Buffer
}

// inflate returns memory of its own.
func (d *inflater) inflate(codec int, src []byte) (out []byte, err error) {
	switch codec {
	case codecGzip:
		if d.gzip == nil {
			d.gzip = new(gzip.Reader)
		}
		if err = d.gzip.Reset(bytes.NewReader(src)); err == nil {
			out, err = d.drain(d.gzip)
		}
	case codecSnappy:
		out, err = xerial.Decode(src)
	case codecLZ4:
		if d.lz4 == nil {
			d.lz4 = lz4.NewReader(nil)
		}
		d.lz4.Reset(bytes.NewReader(src))
		out, err = d.drain(d.lz4)
	case codecZstd:
		if d.zstd == nil {
			if d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(inflatedMax)); err != nil {
				return nil, err
			}
		}
		out, err = d.zstd.DecodeAll(src, nil)
	default:
		err = errors.New("unknown codec")
	}
	if err == nil && len(out) > inflatedMax {
		err = errInflated
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: decompress a record batch (codec %d): %w", codec, err)
	}
	return out, nil
}

// drain reads into a buffer that is kept, and copies: the batch then has the exact size,
// and the buffer grows once.
func (d *inflater) drain(r io.Reader) ([]byte, error) {
	d.buf.Reset()
	n, err := d.buf.ReadFrom(io.LimitReader(r, inflatedMax+1))
	if err == nil && n > inflatedMax {
		err = errInflated
	}
	out := slices.Clone(d.buf.Bytes())
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
