package app

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"bijou"
	"bijou/engine/ffmpeg"
	"bijou/engine/outbox"
	"bijou/engine/smtp"
	"bijou/kit/rpc"
	"bijou/kit/trust"
	"bijou/kit/watch"
	"bijou/service/appliance"
	"bijou/service/catalog"
	"bijou/service/events"
	"bijou/service/gateway"
	"bijou/service/members"
	"bijou/service/members/operators"
	"bijou/service/playback"
	"bijou/service/pulse"
	"bijou/service/recovery"
	"bijou/service/steering"
	"bijou/service/studio"
	"bijou/web"
	"bijou/wire/grant"
)

// rooms is the whole system: each role, and whom it works with.
type rooms struct {
	catalog    *catalog.Service
	studio     *studio.Service
	members    *members.Service
	operators  *operators.Service
	events     *events.Service
	pulse      *pulse.Service
	steering   *steering.Service
	playback   *playback.Service
	recovery   *recovery.Service
	appliances []*appliance.Service
}

// process is what the rooms of one process share.
type process struct {
	config  Config
	data    *dataDir
	stores  *stores
	log     *slog.Logger
	metrics *watch.Metrics
	ring    *trust.Ring
	cluster *cluster
	inbox   bijou.Inbox // where films are looked for; nil for nowhere
	build   Build
	token   string // of the local operator
	address string // that it listens at, such as http://127.0.0.1:8080; empty where it does not
	cached  *near
}

// filmTool is what looks into films and encodes them.
func filmTool(c Config) *ffmpeg.Tool {
	return ffmpeg.New(ffmpeg.Config{FFmpeg: c.FFmpeg.FFmpeg, FFprobe: c.FFmpeg.FFprobe})
}

// libraryRooms are the rooms that make and keep titles and know who does so: all that the command line needs when no service runs.
func (p *process) libraryRooms() rooms {
	var r rooms
	r.operators = openUsers(p.config, p.stores.operators, p.token, p.address, p.log.With("role", "members"))
	titles := p.near().titles
	r.catalog = catalog.New(catalog.Deps{Titles: titles.Fresh(), Shown: titles, Blobs: p.stores.blobs, Now: time.Now})
	r.studio = studio.New(studio.Deps{
		Films: filmTool(p.config),
		Work:  p.stores.work, Blobs: p.stores.blobs, Editor: r.catalog, Inbox: p.inbox,
		Scratch: p.data.file("scratch"), Free: freeSpace, Config: p.config.Studio, Log: p.log.With("role", "studio"), Now: time.Now,
	})
	return r
}

// mailer is the way that mail goes: by the mail server where one is named, else into files.
func (p *process) mailer() bijou.Mailer {
	m := p.config.Members.Mail
	if m.SMTP == "" {
		return outbox.New(p.data.file("outbox"))
	}
	return smtp.New(smtp.Options{Address: m.SMTP, Security: smtp.Security(m.Security), User: m.User, Password: m.Password})
}

// allRooms are the rooms of bijou up.
func (p *process) allRooms() rooms {
	r := p.libraryRooms()
	r.members = members.New(members.Deps{
		Accounts: p.stores.accounts, Profiles: p.stores.profiles, Titles: r.catalog, Facts: p.stores.facts, Mail: p.mailer(), Address: p.config.at(p.address),
		SignOn: provider(p.config.Members.OIDC.Provider(), p.config.at(p.address)+memberSignOnPage),
		Log:    p.log.With("role", "members"), Now: time.Now, Config: p.config.Members,
	})
	r.pulse = pulse.New(pulse.Deps{Log: p.stores.facts, Logger: p.log.With("role", "pulse"), Now: time.Now, Metrics: p.metrics})
	r.steering = steering.New(steering.Deps{
		Titles: r.catalog, Wanted: p.stores.appliances, Revocations: p.stores.appliances, Keys: func() [][]byte { return p.ring.InUse(time.Now()) },
		Sign:      func(g bijou.Grant) (string, error) { return grant.Sign(g, p.ring.Signing(time.Now())) },
		MayReport: mayReport, Config: p.config.Steering, Now: time.Now, Log: p.log.With("role", "steering"), Metrics: p.metrics,
	})
	r.events = events.New(events.Deps{Facts: p.stores.facts, Zones: r.steering, Now: time.Now, Metrics: p.metrics})
	r.playback = playback.New(playback.Deps{
		Titles: r.catalog, Positions: r.members, Steering: r.steering, Revocations: p.stores.appliances, Blobs: p.stores.blobs, Cache: p.near().outlines, Keys: p.ring,
		Collector: events.Collector, Now: time.Now, Config: p.config.Playback,
	})
	r.recovery = p.recovery()
	r.appliances = p.appliances(r.steering, appliance.StoreOrigin(p.stores.blobs))
	return r
}

// routes are the methods of all rooms, and of the cluster itself.
func (p *process) routes(r rooms) []rpc.Route {
	var all []rpc.Route
	all = append(all, r.members.Routes()...)
	all = append(all, r.operators.Routes()...)
	all = append(all, r.catalog.Routes()...)
	all = append(all, r.steering.Routes()...)
	all = append(all, r.playback.Routes()...)
	all = append(all, r.events.Routes()...)
	all = append(all, r.pulse.Routes()...)
	all = append(all, r.studio.Routes()...)
	all = append(all, r.recovery.Routes()...)
	all = append(all, storesCall.Serve(p.stores.states))
	return append(all, createToken.Serve(func(ctx context.Context, in NewToken) (JoinToken, error) { return p.cluster.create(ctx, in) }))
}

// public are the routes that the gateway offers.
func public(routes []rpc.Route) (out []rpc.Route) {
	for _, r := range routes {
		if r.Public() {
			out = append(out, r)
		}
	}
	return out
}

// door is what answers on the one address: segments by the appliance, all else by the gateway.
func (p *process) door(r rooms) http.Handler {
	gate := gateway.New(gateway.Deps{
		Sessions: r.members, Operators: r.operators, API: p.api(r, r.operators.Audit),
		Site: web.Site(), OpenAPI: web.OpenAPI, OperatorToken: p.token, SessionCookie: rpc.SessionCookie,
		NewCookie: members.Cookie, Collector: events.Collector, Config: p.config.Gateway,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, grant.Prefix) {
			r.atDoor(w, req)
			return
		}
		gate.ServeHTTP(w, req)
	})
}

// api answers the public methods. What operators change by any of them is noted by audit.
func (p *process) api(r rooms, audit rpc.Auditor) http.Handler {
	return rpc.Handler(rpc.Deps{Log: p.log, Metrics: p.metrics, Audit: audit}, public(p.routes(r))...)
}

// OpenAPI returns the document of the public methods, as it is committed in web/openapi.json.
func OpenAPI() ([]byte, error) {
	p := &process{config: DefaultConfig(), stores: &stores{}, data: &dataDir{}, log: slog.New(slog.DiscardHandler), metrics: watch.NewMetrics("", "")}
	return rpc.OpenAPI("Bijou", "1", public(p.routes(p.allRooms()))...)
}

var (
	_ bijou.Titles    = (*catalog.Client)(nil)
	_ bijou.Sessions  = (*members.Client)(nil)
	_ bijou.Positions = (*members.Client)(nil)
	_ bijou.Operators = (*operators.Service)(nil)
	_ rpc.Auditor     = (*operators.Audit)(nil)
	_ bijou.Steering  = (*steering.Client)(nil)
	_ bijou.Control   = (*steering.Client)(nil)
	_ bijou.Pulse     = (*pulse.Client)(nil)
)
