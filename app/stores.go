package app

import (
	"context"
	"io"
	"slices"
	"time"

	"bijou"
	"bijou/engine/directory"
	"bijou/engine/logfile"
	"bijou/engine/memory"
	"bijou/engine/sqlite"
	"bijou/kit/conf"
	"bijou/service/members"
)

// stores are the engines that keep the contracts in this process. Each is where its address says: embedded in this program, or a server elsewhere.
type stores struct {
	accounts   members.AccountStores
	profiles   members.ProfileStores
	operators  operatorStores
	titles     bijou.TitleStore
	work       bijou.WorkStore
	appliances applianceStores
	facts      bijou.LogStore
	blobs      bijou.BlobStore
	cache      bijou.CacheStore

	own     ownStores
	servers []*server   // that keep the others
	closers []io.Closer // in the order in which they were opened
}

// operatorStores keep who runs the service, and what they did.
type operatorStores interface {
	bijou.OperatorStore
	bijou.OperatorTokenStore
	bijou.AuditStore
}

// applianceStores keep what operators want of appliances, and which viewings are revoked.
type applianceStores interface {
	bijou.ApplianceStore
	bijou.RevocationStore
}

// ownStores are those that lie in the data directory: what a backup holds. One that is kept elsewhere is nil here.
type ownStores struct {
	databases []sqlite.File
	facts     *logfile.Log
	blobs     *directory.Store
}

// openStores opens each store where the configuration says. It fails where one in the data directory cannot be opened, and for an address that
// nobody can read; a server that does not answer is no failure, since it may come.
func openStores(ctx context.Context, c Config, data *dataDir) (s *stores, err error) {
	o := newOpener(ctx, c, data)
	for _, k := range c.Stores.all() {
		if err := o.open(k); err != nil {
			o.s.close()
			return nil, err
		}
	}
	return o.s, nil
}

// close closes what is open. What was acknowledged is kept already, so a failure here loses nothing and has no one to be told.
func (s *stores) close() {
	for _, c := range slices.Backward(s.closers) {
		_ = c.Close()
	}
}

// opener opens the stores of one process.
type opener struct {
	ctx     context.Context
	c       Config
	data    *dataDir
	s       *stores
	at      map[string]*server // by address: stores that are kept at one address share an engine
	members *sqlite.Members    // the file, once it is open
}

// newOpener returns what opens stores. data may be nil where none of them lies in a data directory.
func newOpener(ctx context.Context, c Config, data *dataDir) *opener {
	return &opener{ctx: ctx, c: c, data: data, s: &stores{}, at: map[string]*server{}}
}

// open opens one store.
func (o *opener) open(k storeAt) error {
	if k.address == "" {
		return o.embedded(k.store)
	}
	v := o.at[k.address]
	if v == nil {
		e, err := k.engine(o.c)
		if err != nil {
			return err
		}
		v = &server{engine: e, address: conf.HidePassword(k.address)}
		o.at[k.address] = v
		o.s.servers, o.s.closers = append(o.s.servers, v), append(o.s.closers, e)
	}
	v.stores = append(v.stores, k.store)
	keepers[k.store][k.scheme()](o.s, v.engine)
	return nil
}

// embedded opens the store that this program keeps by itself.
func (o *opener) embedded(store string) (err error) {
	switch store {
	case "accounts":
		o.s.accounts, err = o.membersFile()
	case "profiles":
		o.s.profiles, err = o.membersFile()
	case "operators":
		o.s.operators, err = database(o, "operators.db", sqlite.OpenOperators)
	case "titles":
		o.s.titles, err = database(o, "catalog.db", sqlite.OpenCatalog)
	case "work":
		o.s.work, err = database(o, "studio.db", sqlite.OpenStudio)
	case "appliances":
		o.s.appliances, err = database(o, "steering.db", sqlite.OpenSteering)
	case "facts":
		err = o.logFiles()
	case "blobs":
		err = o.directory()
	case "cache":
		o.s.cache = memory.New(int64(o.c.Stores.CacheMemory))
	}
	return err
}

// membersFile opens the file that keeps accounts and profiles alike.
func (o *opener) membersFile() (m *sqlite.Members, err error) {
	if o.members == nil {
		o.members, err = database(o, "members.db", sqlite.OpenMembers)
	}
	return o.members, err
}

// database opens a SQLite file of the data directory, and notes that it is there.
func database[S interface {
	sqlite.File
	io.Closer
}](o *opener, name string, open func(context.Context, string) (S, error)) (S, error) {
	s, err := open(o.ctx, o.data.file("sqlite", name))
	if err == nil {
		o.s.own.databases = append(o.s.own.databases, s)
		o.s.closers = append(o.s.closers, s)
	}
	return s, err
}

func (o *opener) directory() error {
	d, err := directory.Open(o.data.file("blobs"))
	if err != nil {
		return err
	}
	o.s.blobs, o.s.own.blobs, o.s.closers = d, d, append(o.s.closers, d)
	return nil
}

func (o *opener) logFiles() error {
	l, err := logfile.Open(o.data.file("log"), logfile.Options{
		RetainBytes: int64(o.c.Facts.Retain), RetainAge: o.c.Facts.RetainFor, Now: time.Now, Topics: o.c.topics(),
	})
	if err != nil {
		return err
	}
	o.s.facts, o.s.own.facts, o.s.closers = l, l, append(o.s.closers, l)
	return nil
}
