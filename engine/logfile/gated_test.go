package logfile

import (
	"strings"
	"sync/atomic"
)

// gated is a disk whose flushes of segments wait at a gate while it is shut, and are counted.
type gated struct {
	osDisk
	shut    atomic.Bool
	flushes atomic.Int64
	gate    chan struct{}
	waiting chan struct{}
}

type gatedFile struct {
	file
	disk *gated
}

func (d *gated) open(name string, flag int) (file, error) {
	f, err := d.osDisk.open(name, flag)
	if err != nil || !strings.HasSuffix(name, ".seg") {
		return f, err
	}
	return &gatedFile{f, d}, nil
}

func (f *gatedFile) Sync() error {
	if f.disk.shut.Load() {
		f.disk.flushes.Add(1)
		f.disk.waiting <- struct{}{}
		<-f.disk.gate
	}
	return f.file.Sync()
}

// unflushed is a disk that flushes nothing, for tests that are about what is in the files and not about whether it outlives a power cut.
type unflushed struct{ osDisk }

type unflushedFile struct{ file }

func (d unflushed) open(name string, flag int) (file, error) {
	f, err := d.osDisk.open(name, flag)
	return unflushedFile{f}, err
}

func (unflushed) syncDir(string) error { return nil }

func (unflushedFile) Sync() error { return nil }
