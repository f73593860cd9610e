// Package app is the switchboard: it reads the configuration, decides which engine keeps which store, and puts the rooms together.
package app

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bijou"
	"bijou/kit/conf"
	"bijou/service/appliance"
	"bijou/service/gateway"
	"bijou/service/members"
	"bijou/service/members/operators"
	"bijou/service/playback"
	"bijou/service/pulse"
	"bijou/service/steering"
	"bijou/service/studio"
)

// Config is every key of the configuration. Each works when absent.
type Config struct {
	DataDir      string `yaml:"data_dir" doc:"Folder that holds everything the service keeps: $XDG_DATA_HOME/bijou where nothing is said, else ~/.local/share/bijou."`
	Listen       string `yaml:"listen" doc:"Address of the one door, host:port. The default is reached from this machine alone."`
	Address      string `yaml:"address" doc:"Address by which people reach the service, such as https://tv.example.org: for links that it prints, and for sign-on; empty means the one that it listens at."`
	LogLevel     string `yaml:"log_level" doc:"Least grave lines that are logged: debug, info, warn or error."`
	BundledFilms bool   `yaml:"bundled_films" doc:"Whether a new library begins with the bundled films."`
	Appliances   int    `yaml:"appliances" doc:"How many appliances bijou up runs, each with a listener and a directory of its own."`

	Appliance appliance.Config `yaml:"appliance"`
	Facts     Facts            `yaml:"facts"`
	FFmpeg    FFmpeg           `yaml:"ffmpeg"`
	Gateway   gateway.Config   `yaml:"gateway"`
	Members   members.Config   `yaml:"members"`
	Operators operators.Config `yaml:"operators"`
	Playback  playback.Config  `yaml:"playback"`
	Pulse     pulse.Config     `yaml:"pulse"`
	Steering  steering.Config  `yaml:"steering"`
	Stores    Stores           `yaml:"stores"`
	Studio    studio.Config    `yaml:"studio"`
}

// Stores says where the service keeps what. A password in an address can come from a file: BIJOU_STORES_ACCOUNTS_FILE names one that holds the address.
type Stores struct {
	Accounts   string `yaml:"accounts" secret:"password" doc:"Where accounts and sign-ins are kept: mysql://user:password@host:3306/database; empty: in the data directory."`
	Profiles   string `yaml:"profiles" secret:"password" doc:"Where profiles, their lists and positions are kept: cassandra://host1,host2,host3:9042/keyspace or mysql://…; empty: in the data directory."`
	Operators  string `yaml:"operators" secret:"password" doc:"Where operators and the audit log are kept: mysql://…; empty: in the data directory."`
	Titles     string `yaml:"titles" secret:"password" doc:"Where titles are kept: mysql://…; empty: in the data directory."`
	Work       string `yaml:"work" secret:"password" doc:"Where the studio's work is kept: mysql://…; empty: in the data directory."`
	Appliances string `yaml:"appliances" secret:"password" doc:"Where it is kept what operators want of appliances, and which viewings are revoked: mysql://…; empty: in the data directory."`
	Facts      string `yaml:"facts" secret:"password" doc:"Where the log of facts is kept: kafka://host1:9092,host2:9092; empty: in the data directory."`
	Blobs      string `yaml:"blobs" secret:"password" doc:"Where films are kept: s3://bucket/prefix; empty: in the data directory."`
	Cache      string `yaml:"cache" doc:"Where copies are kept near, for all processes together: memcached://host1:11211,host2:11211?prefix=bijou; empty: in each process."`

	CacheMemory conf.Size `yaml:"cache_memory" doc:"Bound of the cache in this process. Where stores.cache is set, this one stands in while that is away."`
}

// Facts says how much of the players' reports is kept.
type Facts struct {
	Retain    conf.Size     `yaml:"retain" doc:"Bound of the log of facts; what is oldest goes first."`
	RetainFor time.Duration `yaml:"retain_for" doc:"How long a fact is kept."`
}

// Check refuses, as Invalid, what the log cannot work with.
func (f Facts) Check() error {
	var wrong conf.Errors
	wrong.Add(f.Retain >= 1<<20, "retain is %d bytes: it must be at least 1MiB", f.Retain)
	wrong.Add(f.RetainFor >= time.Hour, "retain_for is %s: it must be at least 1h", f.RetainFor)
	return wrong.Err()
}

// topics says how much is kept of the topics that are not the players' reports.
func (c Config) topics() map[string]bijou.Retention {
	return map[string]bijou.Retention{
		bijou.TopicPulse:    {Bytes: int64(c.Pulse.Retain), Age: pulse.RetainFor},
		bijou.TopicViewings: {Bytes: pulse.RetainViewings, Age: pulse.RetainViewingsFor},
	}
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
		Gateway:   gateway.DefaultConfig(),
		Members:   members.DefaultConfig(),
		Operators: operators.DefaultConfig(),
		Playback:  playback.DefaultConfig(),
		Pulse:     pulse.DefaultConfig(),
		Steering:  steering.DefaultConfig(),
		Stores:    Stores{CacheMemory: 64 << 20},
		Studio:    studio.DefaultConfig(),
	}
}

// Check refuses, as Invalid, what no process can work with.
func (c Config) Check() error {
	var wrong conf.Errors
	wrong.Add(c.DataDir != "", "data_dir is empty and there is no home directory: say --data-dir DIR")
	_, _, err := net.SplitHostPort(c.Listen)
	wrong.Add(err == nil, "listen is %q: write host:port, such as 127.0.0.1:8080", c.Listen)
	wrong.Add(c.Address == "" || isAddress(c.Address), "address is %q: write how people reach the service, such as https://tv.example.org", c.Address)
	wrong.Add(c.Address != "" || !c.Operators.OIDC.On(), "operators.oidc.issuer is set and address is not: say where the provider sends people back to, such as address: https://tv.example.org")
	wrong.Add(c.Address != "" || !c.Members.OIDC.Provider().On(), "members.oidc.issuer is set and address is not: say where the provider sends people back to, such as address: https://tv.example.org")
	wrong.Add(c.Address != "" || c.Members.Mail.SMTP == "", "members.mail.smtp is set and address is not: say what links in mails begin with, such as address: https://tv.example.org")
	wrong.Add(c.Appliances >= 0 && c.Appliances <= 64, "appliances is %d: it must be 0 to 64", c.Appliances)
	wrong.Add(slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel), "log_level is %q: it must be debug, info, warn or error", c.LogLevel)
	if _, err := openInbox(c); err != nil {
		wrong.Add(false, "studio.watch: %s", bijou.Sentence(err))
	}
	return wrong.Err()
}

// isAddress tells whether s is a scheme and a host, as links begin with.
func isAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && strings.Trim(u.Path, "/") == "" &&
		u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// at returns the address by which people reach the service that listens at this one.
func (c Config) at(listening string) string {
	if c.Address != "" {
		return strings.TrimRight(c.Address, "/")
	}
	return listening
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
