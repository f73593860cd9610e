package app

import (
	"time"

	"bijou"
	"bijou/app/through"
	"bijou/kit/run"
	"bijou/kit/watch"
	"bijou/service/members"
)

// storeTime bounds a call of a store whose caller sets no bound.
const storeTime = 10 * time.Second

// asked are the stores as the rooms ask them: every call is measured and bounded. Who opens, closes and backs them up has the engines, in stores.
type asked struct {
	accounts    members.AccountStores
	profiles    members.ProfileStores
	operators   operatorStores
	titles      bijou.TitleStore
	work        bijou.WorkStore
	appliances  bijou.ApplianceStore
	revocations bijou.RevocationStore
	facts       bijou.LogStore
	blobs       bijou.BlobStore

	watch *watch.Stores
}

// between is what is put between rooms and stores.
func between(seen *watch.Stores) through.By {
	return through.Chain(through.Inside, through.Measure(seen, time.Now), through.Deadline(storeTime))
}

// measured returns the stores as rooms ask them.
func (s *stores) measured(metrics *watch.Metrics) *asked {
	seen := watch.NewStores(metrics)
	by := between(seen)
	return &asked{
		accounts: struct {
			through.AccountStore
			through.PINStore
			through.ResetStore
			through.SessionStore
			through.IdentityStore
		}{
			through.AccountStore{Store: s.accounts, By: by}, through.PINStore{Store: s.accounts, By: by}, through.ResetStore{Store: s.accounts, By: by},
			through.SessionStore{Store: s.accounts, By: by}, through.IdentityStore{Store: s.accounts, By: by},
		},
		profiles: struct {
			through.ProfileStore
			through.ListStore
			through.PositionStore
		}{
			through.ProfileStore{Store: s.profiles, By: by}, through.ListStore{Store: s.profiles, By: by}, through.PositionStore{Store: s.profiles, By: by},
		},
		operators: struct {
			through.OperatorStore
			through.OperatorTokenStore
			through.AuditStore
		}{
			through.OperatorStore{Store: s.operators, By: by}, through.OperatorTokenStore{Store: s.operators, By: by}, through.AuditStore{Store: s.operators, By: by},
		},
		titles: through.TitleStore{Store: s.titles, By: by}, work: through.WorkStore{Store: s.work, By: by},
		appliances: through.ApplianceStore{Store: s.appliances, By: by}, revocations: through.RevocationStore{Store: s.appliances, By: by},
		facts: through.LogStore{Store: s.facts, By: by}, blobs: through.Blobs(s.blobs, by),
		watch: seen,
	}
}

// ask returns the stores as rooms ask them.
func (p *process) ask() *asked {
	p.asking.Do(func() { p.asked = p.stores.measured(p.metrics) })
	return p.asked
}

// health is what the process knows of its parts and of its stores.
type health struct {
	*run.Group
	stores *watch.Stores
}

// States implements watch.Health.
func (h health) States() []run.PartState { return append(h.Group.States(), h.stores.States()...) }
