module github.com/seed-81380e12/limpet/bench/peers/loop

go 1.26.0

require (
	github.com/seed-81380e12/limpet v0.0.0
	github.com/segmentio/encoding v0.5.4
	github.com/twmb/franz-go v1.22.2
)

require (
	github.com/segmentio/asm v1.1.3 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

require (
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/pierrec/lz4/v4 v4.1.33 // indirect
	github.com/rogpeppe/go-internal v1.16.0 // indirect
	github.com/twmb/franz-go/pkg/kfake v0.0.0-20260918054303-01f206a7e32c // indirect
	github.com/twmb/franz-go/pkg/kmsg v1.15.0 // indirect
)

replace github.com/seed-81380e12/limpet => ../../..
