// Command bench measures the built binary as its users meet it, and writes the figures to docs/measurements with the command, the
// versions and the machine. Run it by make bench; names of measurements as arguments choose some of them.
package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// measurement writes its figures, in Markdown, to its report.
type measurement struct {
	name, title string
	run         func(ctx context.Context, b *bench, r *report) error
}

var measurements = []measurement{
	{"walk", "Start, size and idling of the one binary", walk},
	{"appliance", "The appliance beside nginx", appliance},
	{"pulse", "How viewers fare: folding, memory, answers", pulse},
	{"kafka", "The log on Apache Kafka beside Kafka's own producer", kafkaLog},
	{"facts", "Facts, and the log that keeps them", facts},
	{"cassandra", "Profiles and positions, on SQLite and on Cassandra", cassandraNodes},
	{"cache", "The cache: memcached's client, and what a start of playing takes", cache},
	{"s3", "Blobs on S3, beside who speaks to it plainly", blobs},
}

// bench is what measurements share.
type bench struct {
	bijou string // path of the binary
	dir   string // for files in work; removed at the end
}

func main() {
	bijou := flag.String("bijou", "bin/bijou", "the binary to measure")
	serve := flag.String("files", "", "serve this directory by http.FileServer, as a peer; for the measurements' own use")
	bucket := flag.Bool("bucket", false, "serve an empty bucket of S3; for the measurements' own use")
	listen := flag.String("listen", "", "address for -files and -bucket")
	flag.Parse()
	if *bucket {
		fmt.Fprintln(os.Stderr, "bench:", serveBucket(*listen))
		os.Exit(1)
	}
	if *serve != "" {
		fmt.Fprintln(os.Stderr, "bench:", serveFiles(*serve, *listen))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, *bijou, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, bijou string, names []string) error {
	dir, err := os.MkdirTemp("", "bijou-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path, err := filepath.Abs(bijou)
	if err != nil {
		return err
	}
	b := &bench{bijou: path, dir: dir}
	for _, m := range measurements {
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		fmt.Println("measuring:", m.title)
		r := &report{}
		if err := m.run(ctx, b, r); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if err := r.write(ctx, b, m); err != nil {
			return err
		}
	}
	return nil
}

// report collects Markdown.
type report struct{ strings.Builder }

func (r *report) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Println(text)
	r.WriteString(text + "\n")
}

// write puts the report below docs/measurements, with what it was measured on.
func (r *report) write(ctx context.Context, b *bench, m measurement) error {
	version, err := exec.CommandContext(ctx, b.bijou, "version").Output()
	if err != nil {
		return fmt.Errorf("%s version: %w", b.bijou, err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# %s\n\n", m.title)
	fmt.Fprintf(&out, "Measured on %s by `make bench` (`go run ./test/bench %s`), %s, %s.\n", time.Now().UTC().Format("2006-01-02"), m.name, strings.TrimSpace(string(version)), runtime.Version())
	fmt.Fprintf(&out, "Machine: %s. It is shared with others, so absolute times vary; the median is the figure that counts.\n\n", machine())
	out.WriteString(r.String())
	path := filepath.Join("docs", "measurements", m.name+".md")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

// machine says what kind of machine this is.
func machine() string {
	model, memory := "unknown processor", ""
	scan("/proc/cpuinfo", "model name", func(v string) { model = v })
	scan("/proc/meminfo", "MemTotal", func(v string) { memory = v })
	return fmt.Sprintf("%s, %d processors, %s of memory, %s/%s", model, runtime.NumCPU(), memory, runtime.GOOS, runtime.GOARCH)
}

// scan calls found with the value of the first line "key : value" of a file below /proc.
func scan(path, key string, found func(string)) {
	f, err := os.Open(path)
	if err != nil {
		return // another system: the report says unknown
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if k, v, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(k) == key {
			found(strings.TrimSpace(v))
			return
		}
	}
}

// spread returns the median, the least and the most.
func spread[T int64 | float64](values []T) (median, least, most T) {
	v := slices.Clone(values)
	slices.Sort(v)
	return v[len(v)/2], v[0], v[len(v)-1]
}
