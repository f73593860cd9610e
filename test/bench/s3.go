package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"bijou"
	"bijou/engine/directory"
	"bijou/engine/s3"
	"bijou/test/engines"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

const (
	blobRuns   = 5 // of which the median counts
	blobBucket = "bench"
)

// mover puts and gets blobs in one way.
type mover struct {
	name string
	// move puts so many blobs of the size and gets them, and returns the processor time of both.
	move func(ctx context.Context, size, count int) (put, get time.Duration, err error)
	put  []float64 // megabytes a CPU-second
	get  []float64
}

// blobs measures what a blob costs the process that stores or reads it.
func blobs(ctx context.Context, b *bench, r *report) error {
	address, stop, err := startBucket(ctx)
	if err != nil {
		return err
	}
	defer stop()
	store, err := s3.Open(fmt.Sprintf("s3://key:secret@%s/blobs?region=us-east-1&endpoint=%s", blobBucket, address), s3.Options{})
	if err != nil {
		return err
	}
	files, err := directory.Open(filepath.Join(b.dir, "blobs"))
	if err != nil {
		return err
	}
	defer files.Close()
	alone := &engines.Alone{}
	defer alone.Close()
	python := engines.Boto3(alone)
	r.line("Megabytes moved a CPU-second of the client, one after another, to a server in a process of its own on the same machine (gofakes3, in memory), by HTTP without TLS.")
	r.line("The peer is aws-sdk-go-v2 used plainly: PutObject and GetObject with its defaults. `engine/s3` also asks for the time of what it has put, and holds a part of it in memory alone.\n")
	r.line("| | put (median, least to most) | beside the SDK | get (median, least to most) | beside the SDK |")
	r.line("|---|---|---|---|---|")
	for _, c := range []struct {
		name        string
		size, count int
	}{{"1 MiB, as segments are", 1 << 20, 64}, {"64 MiB, as films are: `engine/s3` in parts", 64 << 20, 2}} {
		all := []*mover{
			{name: "`engine/s3`", move: func(ctx context.Context, size, count int) (put, get time.Duration, err error) {
				return moveBlobs(ctx, store, size, count)
			}},
			{name: "aws-sdk-go-v2, plain", move: func(ctx context.Context, size, count int) (put, get time.Duration, err error) {
				return movePlainly(ctx, plainClient(address), size, count)
			}},
			{name: "boto3", move: func(ctx context.Context, size, count int) (put, get time.Duration, err error) {
				return moveByPython(ctx, python, address, size, count)
			}},
			{name: "`engine/directory`, with its flushes", move: func(ctx context.Context, size, count int) (put, get time.Duration, err error) {
				return moveBlobs(ctx, files, size, count)
			}},
		}
		if err := alternate(ctx, all, c.size, c.count); err != nil {
			return err
		}
		r.line("| **%s** | | | | |", c.name)
		peerPut, _, _ := spread(all[1].put)
		peerGet, _, _ := spread(all[1].get)
		for _, m := range all {
			put, leastPut, mostPut := spread(m.put)
			get, leastGet, mostGet := spread(m.get)
			r.line("| %s | %.0f, %.0f to %.0f | %.2f | %.0f, %.0f to %.0f | %.2f |", m.name, put, leastPut, mostPut, put/peerPut, get, leastGet, mostGet, get/peerGet)
		}
	}
	return nil
}

// alternate has the movers move in turn, so that what else the machine does meets all.
func alternate(ctx context.Context, all []*mover, size, count int) error {
	for range blobRuns {
		for _, m := range all {
			put, get, err := m.move(ctx, size, count)
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			megabytes := float64(size*count) / 1e6
			m.put, m.get = append(m.put, megabytes/put.Seconds()), append(m.get, megabytes/get.Seconds())
		}
	}
	return nil
}

// spent returns the processor time that work takes of this process.
func spent(count int, work func(n int) error) (time.Duration, error) {
	before, err := cpuTime()
	if err != nil {
		return 0, err
	}
	for n := range count {
		if err := work(n); err != nil {
			return 0, err
		}
	}
	after, err := cpuTime()
	return after - before, err
}

func moveBlobs(ctx context.Context, store bijou.BlobStore, size, count int) (put, get time.Duration, err error) {
	content := make([]byte, size)
	put, err = spent(count, func(n int) error {
		_, err := store.Put(ctx, fmt.Sprint(size, "/", n), bytes.NewReader(content))
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	get, err = spent(count, func(n int) error {
		r, _, err := store.Get(ctx, fmt.Sprint(size, "/", n), 0, -1)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, struct{ io.Reader }{r})
		return errors.Join(err, r.Close())
	})
	return put, get, err
}

func plainClient(address string) *sdk.Client {
	return sdk.New(sdk.Options{
		BaseEndpoint: &address, UsePathStyle: true, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	})
}

func movePlainly(ctx context.Context, c *sdk.Client, size, count int) (put, get time.Duration, err error) {
	content := make([]byte, size)
	put, err = spent(count, func(n int) error {
		_, err := c.PutObject(ctx, &sdk.PutObjectInput{Bucket: aws.String(blobBucket), Key: aws.String(fmt.Sprint("plain/", size, "/", n)), Body: bytes.NewReader(content)})
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	get, err = spent(count, func(n int) error {
		out, err := c.GetObject(ctx, &sdk.GetObjectInput{Bucket: aws.String(blobBucket), Key: aws.String(fmt.Sprint("plain/", size, "/", n))})
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, out.Body)
		return errors.Join(err, out.Body.Close())
	})
	return put, get, err
}

func moveByPython(ctx context.Context, python, address string, size, count int) (put, get time.Duration, err error) {
	out, err := exec.CommandContext(ctx, python, "test/bench/s3.py", address, blobBucket, fmt.Sprint(size), fmt.Sprint(count)).Output()
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", python, err)
	}
	var p, g float64
	if _, err := fmt.Sscan(string(out), &p, &g); err != nil {
		return 0, 0, fmt.Errorf("it says %q: %w", strings.TrimSpace(string(out)), err)
	}
	return time.Duration(p * float64(time.Second)), time.Duration(g * float64(time.Second)), nil
}

// serveBucket is the server of all. It runs in a process of its own.
func serveBucket(listen string) error {
	kept := s3mem.New()
	if err := kept.CreateBucket(blobBucket); err != nil {
		return err
	}
	return http.ListenAndServe(listen, gofakes3.New(kept).Server())
}

func startBucket(ctx context.Context) (address string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
	listen := fmt.Sprintf("127.0.0.1:%d", port)
	cmd := exec.CommandContext(ctx, self, "-bucket", "-listen", listen)
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill() // it ends with us
		_ = cmd.Wait()
	}
	if err := answering(ctx, "http://"+listen+"/"); err != nil {
		stop()
		return "", nil, err
	}
	return "http://" + listen, stop, nil
}
