package members_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/service/members"

	"github.com/google/go-cmp/cmp"
)

// make makes a profile of the caller's account.
func (p *people) make(t *testing.T, c bijou.Caller, in members.MakeProfile) bijou.Profile {
	t.Helper()
	p.now = p.now.Add(time.Microsecond) // profiles come oldest first
	var made bijou.Profile
	if err := json.Unmarshal(p.do(t, c, "POST", "/api/v1/profiles", in).Body.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	return made
}

func choose(id bijou.ProfileID, pin string) members.ChooseProfile {
	return members.ChooseProfile{Profile: id, PIN: pin}
}

func TestProfilesAreMadeChangedChosenAndDeleted(t *testing.T) {
	p := newPeople(t)
	token, c := p.signIn(t, "Telephone", "192.0.2.3")
	kim := p.make(t, c, members.MakeProfile{Name: " Kim ", Children: true})
	if kim.Name != "Kim" || !kim.Children || kim.Account != c.Account {
		t.Errorf("made %+v", kim)
	}
	p.do(t, c, "PUT", "/api/v1/session/profile", choose(kim.ID, ""))
	as := func(token string) bijou.Caller { t.Helper(); return bijou.CallerOf(p.as(t, token)) }
	if got := as(token); got.Profile != kim.ID || !got.Children {
		t.Errorf("after the choice the caller is %+v, want Kim, a child", got)
	}
	if got := as(p.signUp(t, "bob@example.org").Token); got.Children {
		t.Errorf("another member is %+v", got)
	}
	p.do(t, c, "PUT", "/api/v1/profiles/"+string(kim.ID), map[string]any{"name": "Kimberley", "children": false})
	var list members.ProfileList
	if err := json.Unmarshal(p.do(t, c, "GET", "/api/v1/profiles", nil).Body.Bytes(), &list); err != nil || len(list.Profiles) != 2 || list.PIN {
		t.Fatalf("profiles %+v, %v", list, err)
	}
	if got := list.Profiles[1]; got.Name != "Kimberley" || got.Children {
		t.Errorf("after the change: %+v", got)
	}
	p.do(t, c, "POST", "/api/v1/profiles/"+string(kim.ID)+"/deletions", map[string]any{})
	// Who watched by it is nobody until they choose, and sees what children see.
	if got := as(token); got.Profile != "" || !got.Children {
		t.Errorf("after the deletion the caller is %+v, want nobody", got)
	}
	if me := p.do(t, as(token), "GET", "/api/v1/me", nil).Body.String(); strings.Contains(me, `"profile"`) || !strings.Contains(me, `"guest":false`) {
		t.Errorf("me without a profile = %s", me)
	}
	last := p.ask(t, c, "POST", "/api/v1/profiles/"+string(p.ada.Profile)+"/deletions", map[string]any{})
	problem(t, "the last profile", last, 409, "conflict", `"ada" is your last profile`)
}

func TestAPINGuardsWhatIsNotForChildren(t *testing.T) {
	p := newPeople(t)
	token, c := p.signIn(t, "Television", "192.0.2.3")
	kim := p.make(t, c, childWish)
	kit := p.make(t, c, childWish)
	withPIN(t, p)
	put := func(what string, in members.ChooseProfile, want int) {
		t.Helper()
		caller := bijou.CallerOf(p.as(t, token))
		if rec := p.ask(t, caller, "PUT", "/api/v1/session/profile", in); rec.Code != want {
			t.Errorf("%s: %d %s, want %d", what, rec.Code, rec.Body, want)
		}
	}
	put("the profile that watches already", choose(p.ada.Profile, ""), http.StatusOK)
	put("a children's profile", choose(kim.ID, ""), http.StatusOK)
	put("another children's profile", choose(kit.ID, ""), http.StatusOK)
	put("leaving it without the PIN", choose(p.ada.Profile, ""), http.StatusForbidden)
	put("leaving it by a wrong PIN", choose(p.ada.Profile, "0000"), http.StatusForbidden)
	child := bijou.CallerOf(p.as(t, token))
	for what, rec := range map[string]int{
		"a change without the PIN":   p.ask(t, child, "PUT", "/api/v1/profiles/"+string(kit.ID), map[string]any{"name": "Kit", "children": false}).Code,
		"a deletion without the PIN": p.ask(t, child, "POST", "/api/v1/profiles/"+string(kit.ID)+"/deletions", map[string]any{}).Code,
	} {
		if rec != http.StatusForbidden {
			t.Errorf("%s: %d, want 403", what, rec)
		}
	}
	put("leaving it by the PIN", choose(p.ada.Profile, "1234"), http.StatusOK)
	p.do(t, c, "PUT", "/api/v1/profiles/"+string(kit.ID), map[string]any{"name": "Kit", "children": true, "pin": "1234"})
	p.do(t, c, "POST", "/api/v1/profiles/"+string(kit.ID)+"/deletions", map[string]any{"pin": "1234"})

	put("back", choose(kim.ID, ""), http.StatusOK)
	for n := range 5 {
		put(fmt.Sprintf("guess %d", n+1), choose(p.ada.Profile, "0000"), http.StatusForbidden)
	}
	put("the PIN after five guesses", choose(p.ada.Profile, "1234"), http.StatusTooManyRequests)
	p.now = p.now.Add(time.Minute)
	put("the PIN a minute later", choose(p.ada.Profile, "1234"), http.StatusOK)
	if _, hash, err := p.store.Credentials(t.Context(), "ada@example.org"); err != nil || strings.Contains(hash, "1234") {
		t.Errorf("credentials %q, %v", hash, err)
	}
	if hash, err := p.store.PIN(t.Context(), c.Account); err != nil || !strings.HasPrefix(hash, "$argon2id$") {
		t.Errorf("the PIN is kept as %q, %v; want its argon2id hash", hash, err)
	}
	p.do(t, p.ada, "PUT", "/api/v1/account/pin", members.SetPIN{Password: password})
	put("back", choose(kim.ID, ""), http.StatusOK)
	put("leaving it once the PIN is removed", choose(p.ada.Profile, ""), http.StatusOK)
}

func TestAListComesLatestFirstAndIsTheProfilesOwn(t *testing.T) {
	p := newPeople(t)
	other := p.make(t, p.ada, members.MakeProfile{Name: "Bob"})
	for n, title := range []string{"ttl_1", "ttl_2", "ttl_1"} {
		p.now = begin.Add(time.Duration(n) * time.Minute)
		p.do(t, p.ada, "PUT", "/api/v1/list/"+title, nil)
	}
	check := func(what string, c bijou.Caller, query string, want ...bijou.TitleID) {
		t.Helper()
		var page bijou.ListPage
		if err := json.Unmarshal(p.do(t, c, "GET", "/api/v1/list"+query, nil).Body.Bytes(), &page); err != nil || page.Entries == nil {
			t.Fatalf("%s: %+v, %v", what, page, err)
		}
		var got []bijou.TitleID
		for _, e := range page.Entries {
			got = append(got, e.Title)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("the list", p.ada, "", "ttl_2", "ttl_1")
	check("one at a time", p.ada, "?limit=1", "ttl_2")
	bob := p.ada
	bob.Profile = other.ID
	check("another profile's list", bob, "")
	for range 2 {
		p.do(t, p.ada, "DELETE", "/api/v1/list/ttl_2", nil)
		check("after a removal", p.ada, "", "ttl_1")
	}
}

func TestAnExportHoldsAllThatIsKept(t *testing.T) {
	p := newPeople(t)
	p.make(t, p.ada, childWish)
	withPIN(t, p)
	p.do(t, p.ada, "PUT", "/api/v1/list/ttl_2", nil)
	p.do(t, p.ada, "POST", "/api/v1/positions", members.BringPosition{Title: "ttl_1", PositionMS: 42_000, RuntimeMS: 100_000})
	rec := p.do(t, p.ada, "GET", "/api/v1/account/export", nil)
	var out members.Export
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if out.Account.Email != "ada@example.org" || !out.PIN || len(out.Sessions) != 1 || out.Sessions[0].ID != p.ada.Session || len(out.Profiles) != 2 {
		t.Fatalf("export = %s", rec.Body)
	}
	ada, kim := out.Profiles[0], out.Profiles[1]
	if len(ada.List) != 1 || ada.List[0].Title != "ttl_2" || len(ada.Positions) != 1 || ada.Positions[0].PositionMS != 42_000 || kim.Name != "Kim" || len(kim.List) != 0 {
		t.Errorf("export = %s", rec.Body)
	}
	if !strings.Contains(rec.Header().Get("Content-Disposition"), "attachment") || strings.Contains(rec.Body.String(), "argon2") || strings.Contains(rec.Body.String(), "hash") {
		t.Errorf("export with %v = %s, want a file without secrets", rec.Header(), rec.Body)
	}
}

func TestADeletedAccountIsGoneAndALateFactBringsNothingBack(t *testing.T) {
	p := newPeople(t)
	token, c := p.signIn(t, "Telephone", "192.0.2.3")
	bob := p.signUp(t, "bob@example.org")
	if err := p.store.SavePosition(t.Context(), bijou.Position{Profile: bob.Profile.ID, Title: "ttl_1", Session: "ply_2", Seq: 1, At: begin}); err != nil {
		t.Fatal(err)
	}
	p.do(t, c, "PUT", "/api/v1/list/ttl_1", nil)
	p.do(t, c, "POST", "/api/v1/positions", members.BringPosition{Title: "ttl_1", PositionMS: 42_000, RuntimeMS: 100_000})
	rec := p.do(t, c, "POST", "/api/v1/account/deletions", members.Leave{Password: password})
	if cookies := rec.Result().Cookies(); len(cookies) != 1 || cookies[0].Value != "" {
		t.Errorf("the deletion leaves cookies %v, want it removed", cookies)
	}
	p.holds(t, "the sign-in", token, false)
	late := at(bijou.FactHeartbeat, "ply_1", 9, 50_000, begin.Add(time.Hour))
	late.Profile = c.Profile
	position, _ := members.PositionOf(late)
	if err := p.store.SavePosition(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	if _, err := p.store.Position(t.Context(), c.Profile, "ttl_1"); !errors.Is(err, bijou.NotFound) {
		t.Errorf("position of who left = %v, want NotFound", err)
	}
	list, err := p.store.List(t.Context(), c.Profile, "", 10)
	profiles, profilesErr := p.store.Profiles(t.Context(), c.Account)
	if err != nil || profilesErr != nil || len(list.Entries)+len(profiles) != 0 {
		t.Errorf("left behind: list %+v, %v; profiles %+v, %v", list, err, profiles, profilesErr)
	}
	if got := p.try(t, "ada@example.org", password, "192.0.2.3"); got != http.StatusUnauthorized {
		t.Errorf("sign-in of who left = %d, want 401", got)
	}
	if _, err := p.store.Position(t.Context(), bob.Profile.ID, "ttl_1"); err != nil {
		t.Errorf("another's position: %v", err)
	}
	p.signUp(t, "ada@example.org") // the address is free
}
