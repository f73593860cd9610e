package studio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"bijou"

	"pgregory.net/rapid"
)

func TestAFileNameIsRefusedInWordsThatSayWhatIsWrong(t *testing.T) {
	for name, words := range map[string]string{
		"":                         "empty",
		"  ":                       "empty",
		"../film.mp4":              "folders",
		"a/film.mp4":               "folders",
		`C:\film.mp4`:              "folders",
		".":                        "folders",
		"..":                       "folders",
		"film\n.mp4":               "control character",
		"film\x00.mp4":             "control character",
		"film\xff.mp4":             "UTF-8",
		strings.Repeat("ä", 128):   "256 bytes",
		strings.Repeat("x", 301):   "301 bytes",
		strings.Repeat("日本", 1000): "6000 bytes",
	} {
		wantKind(t, fmt.Sprintf("%.40q", name), checkFileName(name), bijou.Invalid, "name", words)
	}
	for _, name := range []string{"film.mp4", "...mp4", "-film", "Amélie (2001) – VOST.mkv", strings.Repeat("x", 255), "%03d.png", "file:x"} {
		if err := checkFileName(name); err != nil {
			t.Errorf("%.40q: got %v, want it taken", name, err)
		}
	}
}

func TestAFileNameThatIsTakenNamesOneFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.StringMatching(`[./\\a-c\n]{0,6}`)).Draw(t, "name")
		if checkFileName(name) == nil && (strings.ContainsAny(name, "/\\\x00\n") || name == ".." || len(name) > 255) {
			t.Fatalf("%q: got it taken, want it refused", name)
		}
	})
}

func TestATitleIsNamedForItsFile(t *testing.T) {
	for file, want := range map[string]string{
		"film.mp4":                "film",
		"Big_Buck_Bunny.mkv":      "Big Buck Bunny",
		"sintel.trailer.480p.mp4": "sintel trailer 480p",
		"A film. By me.mov":       "A film. By me",
		"Dr. Strangelove":         "Dr. Strangelove",
		"no ending":               "no ending",
		".mp4":                    ".mp4",
		"___.mp4":                 "___.mp4",
		"  x  y .webm":            "x y",
		"Фильм.m2ts":              "Фильм",
	} {
		if got := nameOf(file); got != want {
			t.Errorf("nameOf(%q): got %q, want %q", file, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		file := rapid.String().Filter(func(s string) bool { return checkFileName(s) == nil }).Draw(t, "file")
		if err := bijou.CheckName(nameOf(file)); err != nil {
			t.Fatalf("nameOf(%q) = %q: %v", file, nameOf(file), err)
		}
	})
}

func TestAFileNameInAnyBytesIsReadable(t *testing.T) {
	for in, want := range map[string]string{
		"film.mp4": "film.mp4", "Zażółć.mkv": "Zażółć.mkv",
		"caf\xe9.mp4":                        "café.mp4",
		"\x93Oui\x94.mp4":                    "“Oui”.mp4",
		"caf\xe9 – été.mp4":                  "caf\ufffd – été.mp4", // cut in the middle, or of two kinds
		"\x83\x81\x83.mp4":                   "ƒ\ufffdƒ.mp4",        // not Windows-1252
		"Fran\xe7ais\xff.mp4":                "Françaisÿ.mp4",
		strings.Repeat("\xe9", 251) + ".mp4": strings.Repeat("é", 125) + ".mp4",
	} {
		got := FileName(in)
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		must(t, in, checkFileName(got))
	}
	rapid.Check(t, func(t *rapid.T) {
		raw := string(rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "raw"))
		got := FileName(raw)
		if !utf8.ValidString(got) || utf8.ValidString(raw) && got != raw || len(got) > max(len(raw), maxFileName) {
			t.Fatalf("%q: got %q, want text no longer than a name may be", raw, got)
		}
	})
	if err := checkFileName(FileName("a\nb\xe9.mp4")); !errors.Is(err, bijou.Invalid) {
		t.Errorf("a newline beside other bytes: got %v, want it refused", err)
	}
}

func TestAFilmsOwnTitleIsTakenWhereNoneIsGiven(t *testing.T) {
	for _, c := range []struct{ given, own, want string }{
		{"", "The_Clock", "The_Clock"}, {"Mine", "The_Clock", "Mine"}, {"", "", "the file"}, {"", "untitled", "the file"}, {"", "clock.final.MP4", "the file"},
		{"", "www.example.org", "the file"}, {"", "--", "the file"}, {"", "7", "7"},
	} {
		virtual(t, func(t *testing.T, h *house) {
			s := h.process(t)
			title, err := s.AddTitle(t.Context(), AddTitle{Name: c.given, Source: handIn(t, s, "the_file.mp4", "title="+c.own)})
			must(t, "add", err)
			wantSame(t, fmt.Sprintf("name of a film called %q where %q is given", c.own, c.given), title.Name, c.want)
		})
	}
}

func TestALanguageIsTakenAsBCP47AndNamedInItself(t *testing.T) {
	for tag, want := range map[string][2]string{
		"":      {"und", "Unknown language"},
		"en":    {"en", "English"},
		"DE":    {"de", "Deutsch"},
		"pt-br": {"pt-BR", "Português"},
		"fr":    {"fr", "Français"},
		"deu":   {"de", "Deutsch"},
		"tlh":   {"tlh", "tlh"},
	} {
		got, err := canonical(tag)
		if err != nil || got != want[0] || ownName(got) != want[1] {
			t.Errorf("%q: got %q named %q, %v, want %q", tag, got, ownName(got), err, want)
		}
	}
	for _, tag := range []string{"English", "e", "en/..", "en\n", "12"} {
		_, err := canonical(tag)
		wantKind(t, tag, err, bijou.Invalid, "language tag")
	}
}

// kept fails the test where anything is kept: a blob, a title or work.
func (h *house) kept(t *testing.T, what string) {
	t.Helper()
	page, err := h.catalog.AllTitles(t.Context(), bijou.TitleQuery{})
	must(t, "titles", err)
	left, err := h.work.Unfinished(t.Context())
	must(t, "unfinished", err)
	if keys := h.keys(t, ""); len(keys)+len(page.Titles)+len(left) > 0 {
		t.Errorf("%s: got blobs %q, titles %v and work for %v, want nothing kept", what, keys, page.Titles, left)
	}
}

func TestAFileThatCannotBeTakenInLeavesNothing(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		take := func(name string, r io.Reader) error {
			_, err := s.AddSource(t.Context(), name, r)
			return err
		}
		wantKind(t, "no bytes", take("film.mp4", strings.NewReader("")), bijou.Invalid, "film.mp4", "0 bytes")
		wantKind(t, "a bad name", take("../film.mp4", strings.NewReader("film")), bijou.Invalid, "../film.mp4")
		broken := fmt.Errorf("the upload broke off: %w", bijou.Unavailable)
		wantKind(t, "a broken upload", take("film.mp4", io.MultiReader(strings.NewReader("fi"), iotest.ErrReader(broken))), bijou.Unavailable, "film.mp4", "broke off")
		full := h.process(t, func(d *Deps) { d.Blobs = fullBlobs{d.Blobs} })
		_, err := full.AddSource(t.Context(), "film.mp4", strings.NewReader("film"))
		wantKind(t, "a full disk", err, bijou.Exhausted, "film.mp4", "no space")
		h.kept(t, "files that could not be taken in")
	})
}

// fullBlobs has space for the file, and none for its note.
type fullBlobs struct{ bijou.BlobStore }

func (b fullBlobs) Put(ctx context.Context, key string, r io.Reader) (bijou.Blob, error) {
	if strings.HasSuffix(key, sourceNote) {
		return bijou.Blob{}, fmt.Errorf("no space: %w", bijou.Exhausted)
	}
	return b.BlobStore.Put(ctx, key, r)
}

func TestWhatNoTitleCanBeMadeOfIsRefusedInWordsThatNameItAndNotKept(t *testing.T) {
	type source struct{ name, content string }
	film, text := source{"film.mp4", "film"}, source{"film.srt", subtitles}
	for _, c := range []struct {
		what       string
		film, text source
		change     func(*AddTitle)
		words      []string
	}{
		{"a text file", source{"notes.mp4", "rubbish"}, text, nil, []string{"notes.mp4", "no film"}},
		{"sound alone", source{"song.mp4", "sound-only"}, text, nil, []string{"song.mp4", "no moving picture"}},
		{"subtitles that are none", film, source{"bad.srt", "no times here"}, nil, []string{"bad.srt"}},
		{"subtitles that are too long", film, source{"long.srt", strings.Repeat(" ", maxText+1)}, nil, []string{"long.srt", "8388609 bytes"}},
		{"a language that is none", film, text, func(in *AddTitle) { in.Text[0].Language = "Klingon" }, []string{"film.srt", "Klingon"}},
		{"a text track that is none", film, text, func(in *AddTitle) { in.Text[0].Kind = bijou.Audio }, []string{"film.srt", "audio"}},
		{"a text track twice", film, text, func(in *AddTitle) {
			in.Text = append(in.Text, TextSource{Source: in.Text[0].Source, Language: "eng", Kind: bijou.Subtitles})
		}, []string{"film.srt", `would both be called "English"`, "leave one out"}},
		{"a synopsis that is too long", film, text, func(in *AddTitle) { in.Synopsis = strings.Repeat("é", 4001) }, []string{"synopsis", "4001", "4000"}},
		{"a genre that is too long", film, text, func(in *AddTitle) { in.Genres = []string{strings.Repeat("x", 301)} }, []string{"genre", "301"}},
		{"too many genres", film, text, func(in *AddTitle) { in.Genres = make([]string, 21) }, []string{"21 genres", "at most 20"}},
		{"a year that is none", film, text, func(in *AddTitle) { in.Year = 10_000 }, []string{"year 10000"}},
		{"an original language that is none", film, text, func(in *AddTitle) { in.Language = "!" }, []string{"language tag"}},
		{"a name with a newline", film, text, func(in *AddTitle) { in.Name = "two\nlines" }, []string{"two", "control character"}},
		{"an episode without a number", film, text, func(in *AddTitle) { in.Series = "Show" }, []string{"an episode needs its number"}},
		{"an age that is none", film, text, func(in *AddTitle) { in.Maturity.Age = 99 }, []string{"99"}},
	} {
		virtual(t, func(t *testing.T, h *house) {
			s := h.process(t)
			in := AddTitle{
				Source: handIn(t, s, c.film.name, c.film.content),
				Text:   []TextSource{{Source: handIn(t, s, c.text.name, c.text.content), Language: "en"}},
			}
			if c.change != nil {
				c.change(&in)
			}
			_, err := s.AddTitle(t.Context(), in)
			wantKind(t, c.what, err, bijou.Invalid, c.words...)
			h.kept(t, c.what)
		})
	}
}

func TestASourceBelongsToOneTitle(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		film, text := handIn(t, s, "film.mp4", "film"), handIn(t, s, "film.srt", subtitles)
		title, err := s.AddTitle(t.Context(), AddTitle{Source: film, Text: []TextSource{{Source: text, Language: "en"}}})
		must(t, "add", err)
		_, err = s.AddTitle(t.Context(), AddTitle{Source: film})
		wantKind(t, "add it again", err, bijou.Conflict, string(film))
		other := handIn(t, s, "other.mp4", "film")
		_, err = s.AddTitle(t.Context(), AddTitle{Source: other, Text: []TextSource{{Source: text, Language: "en"}}})
		wantKind(t, "add another with the same text track", err, bijou.Conflict, string(text))
		_, err = s.AddTitle(t.Context(), AddTitle{Source: film, Season: 1})
		wantKind(t, "add it again in a way that is refused", err, bijou.Invalid)
		_, err = s.AddTitle(t.Context(), AddTitle{Source: other, Text: []TextSource{{Source: film, Language: "en"}}})
		wantKind(t, "add another with the film as text track", err, bijou.Invalid)
		start(t, s)
		h.published(t, s, title.ID) // none of which harmed the first
		_, err = s.AddTitle(t.Context(), AddTitle{Source: film})
		wantKind(t, "add what was made and let go of", err, bijou.NotFound, "hand the file in again")
		_, err = s.AddTitle(t.Context(), AddTitle{Source: "../../etc/passwd"})
		wantKind(t, "add what is no identifier", err, bijou.Invalid)
	})
}

func TestASourceIsTakenBackUnlessATitleIsMadeOfIt(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		idle, used := handIn(t, s, "idle.mp4", "film"), handIn(t, s, "used.mp4", "film")
		title, err := s.AddTitle(t.Context(), AddTitle{Source: used})
		must(t, "add", err)
		must(t, "take back what is not used", s.RemoveSource(t.Context(), idle))
		wantKind(t, "take it back again", s.RemoveSource(t.Context(), idle), bijou.NotFound, string(idle))
		wantKind(t, "take back what is used", s.RemoveSource(t.Context(), used), bijou.Conflict, string(used))
		wantKind(t, "take back what is no identifier", s.RemoveSource(t.Context(), "../x"), bijou.NotFound)
		wantSame(t, "blobs of sources", len(h.keys(t, bijou.SourcePath)), 2)
		start(t, s)
		h.published(t, s, title.ID)
	})
}

func TestARequestIsCheckedBeforeItsFilesAreHandedIn(t *testing.T) {
	good := func() AddTitle {
		return AddTitle{Name: "Alpha", Year: 2001, Text: []TextSource{{Language: "en", Kind: bijou.Captions}}}
	}
	if err := good().Check("film.mp4", "en.srt"); err != nil {
		t.Errorf("a good request: got %v", err)
	}
	for words, change := range map[string]func(*AddTitle){
		"year 99999":               func(in *AddTitle) { in.Year = 99999 },
		"age 200":                  func(in *AddTitle) { in.Maturity.Age = 200 },
		"rating has 40 characters": func(in *AddTitle) { in.Maturity.Label = strings.Repeat("x", 40) },
		"is 301 bytes long":        func(in *AddTitle) { in.Name = strings.Repeat("x", 301) },
		"synopsis has 4001":        func(in *AddTitle) { in.Synopsis = strings.Repeat("x", 4001) },
		"credit has 1001":          func(in *AddTitle) { in.Credit = strings.Repeat("x", 1001) },
		"it has 21 genres":         func(in *AddTitle) { in.Genres = make([]string, 21) },
		`"Klingonese" is not a`:    func(in *AddTitle) { in.Language = "Klingonese" },
		`"en.srt": "x" is not a`:   func(in *AddTitle) { in.Text[0].Language = "x" },
		`kind "audio" is none`:     func(in *AddTitle) { in.Text[0].Kind = bijou.Audio },
	} {
		in := good()
		change(&in)
		wantKind(t, words, in.Check("film.mp4", "en.srt"), bijou.Invalid, words)
	}
	wantKind(t, "the film's name", good().Check(`a\b.mp4`, "en.srt"), bijou.Invalid, "folders")
	wantKind(t, "the text's name", good().Check("film.mp4", "a\nb"), bijou.Invalid, "control character")
}

func TestFilesAreLookedIntoWhereTheyAre(t *testing.T) {
	f := newFilms(t)
	dir := t.TempDir()
	put := func(name, content string) string {
		path := filepath.Join(dir, name)
		must(t, "write", os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	film, text := put("film.mp4", "film"), put("en.srt", subtitles)
	must(t, "good files", CheckFiles(t.Context(), f, film, []string{text}))
	wantKind(t, "no film", CheckFiles(t.Context(), f, put("notes.mp4", "rubbish"), nil), bijou.Invalid, "notes.mp4 is no film")
	wantKind(t, "sound alone", CheckFiles(t.Context(), f, put("sound.mp4", "sound-only"), nil), bijou.Invalid, "sound.mp4", "no moving picture")
	wantKind(t, "no bytes", CheckFiles(t.Context(), f, put("zero.mp4", ""), nil), bijou.Invalid, "zero.mp4", "0 bytes")
	wantKind(t, "no text", CheckFiles(t.Context(), f, film, []string{put("no.srt", "nothing to read")}), bijou.Invalid, "no.srt")
	wantKind(t, "no file", CheckFiles(t.Context(), f, film, []string{filepath.Join(dir, "none.srt")}), bijou.Invalid, "none.srt")
}

func TestASourceThatNobodyAsksForGoesAfterADay(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		used := handIn(t, s, "used.mp4", "film")
		title, err := s.AddTitle(t.Context(), AddTitle{Source: used})
		must(t, "add", err)
		idle := handIn(t, s, "idle.mp4", "film")
		half := sourceKey("src_half", sourceFile) // a kill left it without its note
		_, err = h.blobs.Put(t.Context(), half, strings.NewReader("film"))
		must(t, "put", err)
		blob, err := h.blobs.Stat(t.Context(), half)
		must(t, "stat", err)
		at := func(age time.Duration) *Service {
			return h.process(t, func(d *Deps) { d.Now = func() time.Time { return blob.Modified.Add(age) } })
		}
		must(t, "sweep", at(sourceAge-time.Minute).dropSources(t.Context()))
		wantSame(t, "blobs within the day", len(h.keys(t, bijou.SourcePath)), 5)
		must(t, "sweep", at(sourceAge+time.Minute).dropSources(t.Context()))
		wantSame(t, "blobs after the day", h.keys(t, bijou.SourcePath), []string{sourceKey(used, sourceFile), sourceKey(used, sourceNote)})
		_, err = s.source(t.Context(), idle)
		wantKind(t, "the source that nobody asked for", err, bijou.NotFound)
		start(t, s)
		h.published(t, s, title.ID)
	})
}

func TestARoomThatRunsForLongSweepsToo(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t, func(d *Deps) { d.Now = func() time.Time { return time.Now().AddDate(1000, 0, 0) } })
		start(t, s)
		handIn(t, s, "idle.mp4", "film")
		pause(t.Context(), sweepEvery+time.Second)
		h.kept(t, "sources after an hour of a room in whose eyes they are old")
	})
}

// noPaths is a store whose blobs are not files of this machine.
type noPaths struct{ bijou.BlobStore }

func TestAFilmThatIsNotAFileOfThisMachineIsCopied(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t, func(d *Deps) { d.Blobs = noPaths{d.Blobs} })
		start(t, s)
		h.published(t, s, add(t, s, "Ein Film – äöü.mp4", "text"))
	})
}

func TestAScratchDirectoryThatIsMissingIsNamed(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t, func(d *Deps) { d.Scratch += "/missing" })
		err := s.Run(t.Context(), func() { t.Errorf("ready: got a call, want none") })
		wantKind(t, "run", err, bijou.Unavailable, s.Scratch)
	})
}

func TestAnUnreadableNoteIsCorrupt(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		_, err := h.blobs.Put(t.Context(), sourceKey("src_x", sourceNote), strings.NewReader("{"))
		must(t, "put", err)
		_, err = s.AddTitle(t.Context(), AddTitle{Source: "src_x"})
		wantKind(t, "add", err, bijou.Corrupt, "src_x")
		if errors.Is(err, bijou.Invalid) {
			t.Errorf("add: got %v, which is two kinds", err)
		}
	})
}
