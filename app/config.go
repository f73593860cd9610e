// Package app is the switchboard: it reads the configuration, decides which engine keeps which store, and puts the rooms together.
package app

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"bijou"
	"bijou/kit/conf"
	"bijou/service/appliance"
	"bijou/service/members"
	"bijou/service/playback"
	"bijou/service/pulse"
	"bijou/service/steering"
	"bijou/service/studio"
)

// Config is every key of the configuration. Each works when absent.
type Config struct {
	DataDir      string `yaml:"data_dir" doc:"Folder that holds everything the service keeps: $XDG_DATA_HOME/bijou where nothing is said, else ~/.local/share/bijou."`
	Listen       string `yaml:"listen" doc:"Address of the one door, host:port. The default is reached from this machine alone."`
	LogLevel     string `yaml:"log_level" doc:"Least grave lines that are logged: debug, info, warn or error."`
	BundledFilms bool   `yaml:"bundled_films" doc:"Whether a new library begins with the bundled films."`
	Appliances   int    `yaml:"appliances" doc:"How many appliances bijou up runs, each with a listener and a directory of its own."`

	Appliance appliance.Config `yaml:"appliance"`
	Facts     Facts            `yaml:"facts"`
	FFmpeg    FFmpeg           `yaml:"ffmpeg"`
	Members   members.Config   `yaml:"members"`
	Playback  playback.Config  `yaml:"playback"`
	Pulse     pulse.Config     `yaml:"pulse"`
	Steering  steering.Config  `yaml:"steering"`
	Studio    studio.Config    `yaml:"studio"`
}

// Facts says how much of the players' reports is kept.
type Facts struct {
	Retain    conf.Size     `yaml:"retain" doc:"Bound of the log of facts; what is oldest goes first."`
	RetainFor time.Duration `yaml:"retain_for" doc:"How long a fact is kept."`
}

// Check refuses, as Invalid, what the log cannot work with.
func (f Facts) Check() error {
	if f.Retain < 1<<20 {
		return fmt.Errorf("retain is %d bytes: it must be at least 1MiB: %w", f.Retain, bijou.Invalid)
	}
	if f.RetainFor < time.Hour {
		return fmt.Errorf("retain_for is %s: it must be at least 1h: %w", f.RetainFor, bijou.Invalid)
	}
	return nil
}

// FFmpeg says where the programs are that look into films and encode them.
type FFmpeg struct {
	FFmpeg  string `yaml:"ffmpeg" doc:"The program that encodes: a path, or a name found on PATH."`
	FFprobe string `yaml:"ffprobe" doc:"The program that describes films: a path, or a name found on PATH."`
}

// DefaultConfig is the configuration where nothing is said.
func DefaultConfig() Config {
	return Config{
		DataDir: defaultDataDir(), Listen: "127.0.0.1:8080", LogLevel: "info", BundledFilms: true, Appliances: 2,
		Appliance: appliance.DefaultConfig(),
		Facts:     Facts{Retain: 1 << 30, RetainFor: 30 * 24 * time.Hour},
		FFmpeg:    FFmpeg{FFmpeg: "ffmpeg", FFprobe: "ffprobe"},
		Members:   members.DefaultConfig(),
		Playback:  playback.DefaultConfig(),
		Pulse:     pulse.DefaultConfig(),
		Steering:  steering.DefaultConfig(),
		Studio:    studio.DefaultConfig(),
	}
}

// Check refuses, as Invalid, what no process can work with.
func (c Config) Check() error {
	if c.DataDir == "" {
		return fmt.Errorf("data_dir is empty and there is no home directory: say --data-dir DIR: %w", bijou.Invalid)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("listen is %q: write host:port, such as 127.0.0.1:8080: %w", c.Listen, bijou.Invalid)
	}
	if c.Appliances < 0 || c.Appliances > 64 {
		return fmt.Errorf("appliances is %d: it must be 0 to 64: %w", c.Appliances, bijou.Invalid)
	}
	switch c.LogLevel {
	case "debug", "info", "warn", "error":
		return nil
	}
	return fmt.Errorf("log_level is %q: it must be debug, info, warn or error: %w", c.LogLevel, bijou.Invalid)
}

// defaultDataDir follows the XDG base directory specification.
func defaultDataDir() string {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "bijou")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "" // Check says so where nothing else names a directory
	}
	return filepath.Join(home, ".local", "share", "bijou")
}

// LoadConfig reads the configuration: defaults, the file where one is named, BIJOU_… variables, and sets such as "studio.workers=2".
func LoadConfig(file string, env, sets []string) (Config, conf.Origins, error) {
	c := DefaultConfig()
	origins, err := conf.Load(&c, conf.Sources{File: file, Env: env, Prefix: "BIJOU", Sets: sets})
	return c, origins, err
}
