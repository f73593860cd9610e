package hls_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// playlist is what the strict checker reads out of a playlist.
type playlist struct {
	faults   []string
	version  int
	tags     []string            // names, in order
	media    []map[string]string // EXT-X-MEDIA
	variants []map[string]string // EXT-X-STREAM-INF, the address under "URI"
	steering map[string]string   // EXT-X-CONTENT-STEERING
	target   int64               // seconds
	segments []string
	micros   []int64 // EXTINF of each segment, in microseconds
	initFile string
}

func (p *playlist) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// The grammar of attribute values (section 4.2).
var (
	attribute = regexp.MustCompile(`^([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)`)
	grammar   = map[string]*regexp.Regexp{
		"integer":    regexp.MustCompile(`^[0-9]{1,20}$`),
		"float":      regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`),
		"quoted":     regexp.MustCompile(`^"[^"\r\n]*"$`),
		"enum":       regexp.MustCompile(`^[^",\s]+$`),
		"resolution": regexp.MustCompile(`^[0-9]+x[0-9]+$`),
		"yesno":      regexp.MustCompile(`^(YES|NO)$`),
		"cc":         regexp.MustCompile(`^(NONE|"[^"\r\n]*")$`),
	}
	mediaAttributes = map[string]string{
		"TYPE": "enum", "URI": "quoted", "GROUP-ID": "quoted", "LANGUAGE": "quoted", "NAME": "quoted", "DEFAULT": "yesno", "AUTOSELECT": "yesno",
		"FORCED": "yesno", "CHARACTERISTICS": "quoted", "CHANNELS": "quoted",
	}
	streamAttributes = map[string]string{
		"BANDWIDTH": "integer", "AVERAGE-BANDWIDTH": "integer", "CODECS": "quoted", "RESOLUTION": "resolution", "FRAME-RATE": "float",
		"AUDIO": "quoted", "SUBTITLES": "quoted", "CLOSED-CAPTIONS": "cc", "PATHWAY-ID": "quoted",
	}
	steeringAttributes = map[string]string{"SERVER-URI": "quoted", "PATHWAY-ID": "quoted"}
	mapAttributes      = map[string]string{"URI": "quoted"}
	extinf             = regexp.MustCompile(`^([0-9]+)\.([0-9]{6}),$`)
	languageTag        = regexp.MustCompile(`^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$`)
	channelCount       = regexp.MustCompile(`^[1-9][0-9]*(/.*)?$`)
	address            = regexp.MustCompile(`^(https?://[A-Za-z0-9.:\[\]-]+/)?[A-Za-z0-9._~/-]+$`)
	pathwayID          = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
)

// strict reads a playlist and names every MUST of RFC 8216bis that it breaks, as far as the tags that we print go.
func strict(text string) *playlist {
	p := &playlist{}
	p.characters(text)
	lines := strings.Split(text, "\n")
	if lines[0] != "#EXTM3U" {
		p.fault("the first line is %q, not #EXTM3U", lines[0])
	}
	if lines[len(lines)-1] != "" {
		p.fault("the last line has no end")
	}
	pending := "" // the tag that the next address belongs to
	for _, line := range lines[1 : len(lines)-1] {
		switch {
		case line == "" || strings.TrimSpace(line) != line:
			p.fault("line %q is empty or has white space around it", line)
		case !strings.HasPrefix(line, "#"):
			p.address(line, pending)
			pending = ""
		case pending != "":
			p.fault("line %q stands between %s and its address", line, pending)
		case strings.HasPrefix(line, "#EXT"):
			pending = p.tag(line)
		}
	}
	if pending != "" {
		p.fault("%s has no address", pending)
	}
	p.whole()
	return p
}

// characters checks section 4.1 and that nothing would be taken for a variable (section 4.3).
func (p *playlist) characters(text string) {
	if !utf8.ValidString(text) || strings.Contains(text, "\ufeff") || !norm.NFC.IsNormalString(text) {
		p.fault("the text is not UTF-8 in form C without a byte order mark: %q", text)
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }); i >= 0 {
		p.fault("the text holds a control character: %q", text[i:])
	}
	if strings.Contains(text, "{$") {
		p.fault("the text refers to a variable: %q", text)
	}
}

func (p *playlist) address(line, pending string) {
	if !address.MatchString(line) {
		p.fault("%q is not an address", line)
	}
	switch pending {
	case "EXT-X-STREAM-INF":
		p.variants[len(p.variants)-1]["URI"] = line
	case "EXTINF":
		p.segments = append(p.segments, line)
	default:
		p.fault("the address %q follows no tag of its own", line)
	}
}

// tag reads a tag line and returns its name where an address must follow.
func (p *playlist) tag(line string) string {
	name, value, _ := strings.Cut(line[1:], ":")
	p.tags = append(p.tags, name)
	switch name {
	case "EXT-X-VERSION", "EXT-X-TARGETDURATION", "EXT-X-MEDIA-SEQUENCE":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 1 {
			p.fault("%s is not a positive integer", line)
		}
		if name == "EXT-X-VERSION" {
			p.version = int(n)
		} else if name == "EXT-X-TARGETDURATION" {
			p.target = n
		}
	case "EXT-X-MEDIA":
		p.media = append(p.media, p.attributes(value, mediaAttributes))
	case "EXT-X-STREAM-INF":
		p.variants = append(p.variants, p.attributes(value, streamAttributes))
		return name
	case "EXT-X-CONTENT-STEERING":
		p.steering = p.attributes(value, steeringAttributes)
	case "EXT-X-MAP":
		p.initFile = p.attributes(value, mapAttributes)["URI"]
	case "EXTINF":
		m := extinf.FindStringSubmatch(value)
		if m == nil {
			p.fault("%s has not six decimals and an empty title", line)
			return name
		}
		micros, err := strconv.ParseInt(m[1]+m[2], 10, 64)
		if err != nil {
			p.fault("%s: %v", line, err)
		}
		p.micros = append(p.micros, micros)
		return name
	case "EXT-X-PLAYLIST-TYPE":
		if value != "VOD" {
			p.fault("%s is not on demand", line)
		}
	case "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-ENDLIST":
		if strings.Contains(line, ":") {
			p.fault("%s takes no value", line)
		}
	default:
		p.fault("tag %s is unknown", line)
	}
	return ""
}

// attributes reads an attribute list: each name once, no white space, each value as its name's grammar wants it. Quotes are taken off.
func (p *playlist) attributes(list string, known map[string]string) map[string]string {
	out := map[string]string{}
	for rest := list; rest != ""; {
		m := attribute.FindStringSubmatch(rest)
		if m == nil {
			p.fault("attribute list %q goes wrong at %q", list, rest)
			return out
		}
		name, value := m[1], m[2]
		if _, twice := out[name]; twice {
			p.fault("attribute %s is there twice in %q", name, list)
		}
		if form, ok := known[name]; !ok {
			p.fault("attribute %s is unknown", name)
		} else if !grammar[form].MatchString(value) {
			p.fault("attribute %s=%s is not of the form %s", name, value, form)
		}
		out[name] = strings.Trim(value, `"`)
		rest = rest[len(m[0]):]
		if rest != "" && (rest[0] != ',' || len(rest) == 1) {
			p.fault("attribute list %q goes wrong at %q", list, rest)
			return out
		}
		rest = strings.TrimPrefix(rest, ",")
	}
	return out
}

// whole checks what tags demand of each other.
func (p *playlist) whole() {
	once := map[string]bool{}
	for _, name := range p.tags {
		switch name {
		case "EXT-X-MEDIA", "EXT-X-STREAM-INF", "EXTINF":
		default:
			if once[name] {
				p.fault("%s is there twice", name)
			}
			once[name] = true
		}
	}
	if len(p.variants) > 0 {
		p.multivariant()
	} else {
		p.mediaPlaylist()
	}
}

// multivariant checks section 4.4.6.
func (p *playlist) multivariant() {
	for _, name := range p.tags {
		if slices.Contains([]string{"EXTINF", "EXT-X-TARGETDURATION", "EXT-X-MAP", "EXT-X-ENDLIST", "EXT-X-PLAYLIST-TYPE", "EXT-X-MEDIA-SEQUENCE"}, name) {
			p.fault("%s stands in a multivariant playlist", name)
		}
	}
	names, defaults, automatic, groups := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, m := range p.media {
		group := m["TYPE"] + " " + m["GROUP-ID"]
		groups[group] = true
		p.rendition(m)
		if names[group+" "+m["NAME"]] {
			p.fault("two of group %s are called %q", group, m["NAME"])
		}
		names[group+" "+m["NAME"]] = true
		if m["DEFAULT"] == "YES" {
			if defaults[group] {
				p.fault("two of group %s are the default", group)
			}
			defaults[group] = true
		}
		if m["AUTOSELECT"] == "YES" {
			key := group + " " + m["LANGUAGE"] + " " + m["FORCED"] + " " + m["CHARACTERISTICS"]
			if automatic[key] {
				p.fault("two of group %s are selected automatically and differ in nothing: %v", group, m)
			}
			automatic[key] = true
		}
	}
	for _, v := range p.variants {
		p.variant(v, groups)
	}
	p.pathways()
}

// pathways checks section 7.1: each variant belongs to a pathway where any does, all pathways offer the same variants, and the one to
// begin with exists.
func (p *playlist) pathways() {
	offers := map[string][]string{}
	for _, v := range p.variants {
		id, named := v["PATHWAY-ID"]
		if named && !pathwayID.MatchString(id) {
			p.fault("PATHWAY-ID=%q has other characters than letters, digits, -, _ and .", id)
		}
		if named != (p.variants[0]["PATHWAY-ID"] != "") {
			p.fault("some variants name a pathway and others do not: %v", v)
		}
		offers[id] = append(offers[id], v["BANDWIDTH"]+" "+v["CODECS"]+" "+v["RESOLUTION"])
	}
	for id, got := range offers {
		if want := offers[p.variants[0]["PATHWAY-ID"]]; !slices.Equal(got, want) {
			p.fault("pathway %q offers %q, and the first one %q", id, got, want)
		}
	}
	if p.steering == nil {
		return
	}
	if p.steering["SERVER-URI"] == "" || offers[p.steering["PATHWAY-ID"]] == nil {
		p.fault("steering begins at %v, and there are %v", p.steering, offers)
	}
}

func (p *playlist) rendition(m map[string]string) {
	if m["TYPE"] != "AUDIO" && m["TYPE"] != "SUBTITLES" {
		p.fault("EXT-X-MEDIA has type %q", m["TYPE"])
	}
	if m["GROUP-ID"] == "" || m["NAME"] == "" || m["URI"] == "" {
		p.fault("EXT-X-MEDIA has no group, name or address: %v", m)
	}
	if m["DEFAULT"] == "YES" && m["AUTOSELECT"] != "YES" {
		p.fault("a default is not selected automatically: %v", m)
	}
	if _, ok := m["FORCED"]; ok && m["TYPE"] != "SUBTITLES" {
		p.fault("FORCED stands at %v", m)
	}
	if c, ok := m["CHANNELS"]; ok && (m["TYPE"] != "AUDIO" || !channelCount.MatchString(c)) {
		p.fault("CHANNELS=%q stands at %v", c, m)
	}
	if !languageTag.MatchString(m["LANGUAGE"]) {
		p.fault("LANGUAGE=%q is no tag", m["LANGUAGE"])
	}
}

func (p *playlist) variant(v map[string]string, groups map[string]bool) {
	peak, err := strconv.ParseInt(v["BANDWIDTH"], 10, 64)
	average, errAverage := strconv.ParseInt(v["AVERAGE-BANDWIDTH"], 10, 64)
	if err != nil || errAverage != nil || average > peak {
		p.fault("a variant has BANDWIDTH=%s and AVERAGE-BANDWIDTH=%s", v["BANDWIDTH"], v["AVERAGE-BANDWIDTH"])
	}
	if v["CODECS"] == "" {
		p.fault("a variant names no codecs: %v", v)
	}
	for attr, kind := range map[string]string{"AUDIO": "AUDIO ", "SUBTITLES": "SUBTITLES "} {
		if g, ok := v[attr]; ok && !groups[kind+g] {
			p.fault("a variant names group %s=%q, which has no member", attr, g)
		}
	}
}

// mediaPlaylist checks section 4.4.3 and the versions of section 8.
func (p *playlist) mediaPlaylist() {
	if p.target == 0 || len(p.segments) == 0 {
		p.fault("a media playlist has target duration %d and %d segments", p.target, len(p.segments))
	}
	for i, micros := range p.micros {
		if (micros+500_000)/1_000_000 > p.target {
			p.fault("segment %d lasts %d µs, more than the target of %d s", i+1, micros, p.target)
		}
	}
	if p.version < 3 || p.initFile != "" && p.version < 6 {
		p.fault("version %d is too old for what is used", p.version)
	}
	first := slices.Index(p.tags, "EXTINF")
	for _, name := range []string{"EXT-X-MEDIA-SEQUENCE", "EXT-X-MAP"} {
		if i := slices.Index(p.tags, name); i > first {
			p.fault("%s comes after the first segment", name)
		}
	}
	if p.tags[len(p.tags)-1] != "EXT-X-ENDLIST" {
		p.fault("the playlist does not say that it is whole")
	}
}

func TestTheStrictCheckerRefusesWhatTheSpecificationForbids(t *testing.T) {
	const multi = "#EXTM3U\n#EXT-X-VERSION:7\n" +
		"#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",LANGUAGE=\"en\",NAME=\"x\",DEFAULT=YES,AUTOSELECT=YES,URI=\"a/i\"\n" +
		"#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",LANGUAGE=\"de\",NAME=\"y\",DEFAULT=NO,AUTOSELECT=YES,URI=\"b/i\"\n" +
		"#EXT-X-STREAM-INF:BANDWIDTH=2,AVERAGE-BANDWIDTH=1,CODECS=\"c\",AUDIO=\"a\"\nv/i\n"
	const media = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n" +
		"#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4.000000,\n1.m4s\n#EXT-X-ENDLIST\n"
	for _, good := range []string{multi, media} {
		if p := strict(good); len(p.faults) > 0 {
			t.Errorf("strict(%q) = %q, want no fault", good, p.faults)
		}
	}
	for _, c := range []struct{ text, old, bad string }{
		{multi, "#EXTM3U\n", ""},
		{multi, `NAME="y"`, `NAME="x"`},
		{multi, `NAME="y"`, `NAME="y" "z"`},
		{multi, `NAME="y"`, `NAME="{$y}"`},
		{multi, `NAME="y"`, "NAME=\"y\u0085\""},
		{multi, `NAME="y"`, "NAME=\"e\u0301\""},
		{multi, `NAME="y"`, "NAME=\"y\xff\""},
		{multi, `NAME="y"`, "NAME=\"y\n\""},
		{multi, `NAME="y",`, ``},
		{multi, `NAME="y"`, `NAME=y`},
		{multi, "DEFAULT=NO", "DEFAULT=YES"},
		{multi, "DEFAULT=YES,AUTOSELECT=YES", "DEFAULT=YES,AUTOSELECT=NO"},
		{multi, `LANGUAGE="de"`, `LANGUAGE="en"`},
		{multi, `LANGUAGE="de"`, `LANGUAGE=""`},
		{multi, "DEFAULT=NO", "DEFAULT=NO, FORCED=NO"},
		{multi, "DEFAULT=NO", "DEFAULT=NO,FORCED=NO"},
		{multi, "BANDWIDTH=2", "BANDWIDTH=0x2"},
		{multi, "BANDWIDTH=2,", "BANDWIDTH=2,BANDWIDTH=2,"},
		{multi, "AVERAGE-BANDWIDTH=1", "AVERAGE-BANDWIDTH=3"},
		{multi, `AUDIO="a"`, `AUDIO="b"`},
		{multi, "\nv/i", ""},
		{media, "4.000000", "4.500000"},
		{media, "#EXT-X-ENDLIST\n", ""},
		{media, "#EXTINF:4.000000,\n", ""},
		{media, "VERSION:7", "VERSION:5"},
		{media, "#EXT-X-TARGETDURATION:4\n", ""},
		{media, "init.mp4\"\n", "init.mp4\"\n#EXT-X-VERSION:7\n"},
	} {
		text := strings.Replace(c.text, c.old, c.bad, 1)
		if p := strict(text); text == c.text || len(p.faults) == 0 {
			t.Errorf("strict(%q) found no fault, want one for %q", text, c.bad)
		}
	}
}
