package cmcd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"bijou"
)

// Parameter is the query parameter that carries a dictionary.
const Parameter = "CMCD"

// MediaType is that of a report in event mode: dictionaries, one a line (CTA-5004-B).
const MediaType = "application/cmcd"

// The headers that carry a dictionary, by how often their keys change (CTA-5004, section 2).
const (
	object  = "CMCD-Object"
	request = "CMCD-Request"
	session = "CMCD-Session"
	status  = "CMCD-Status"
)

var headers = []string{object, request, session, status}

// headerOf says which header a key travels in. Those of event mode alone travel in none.
var headerOf = map[string]string{
	"ab": object, "br": object, "d": object, "lab": object, "lb": object, "ot": object, "tab": object, "tb": object, "tpb": object,
	"bl": request, "cs": request, "dfa": request, "dl": request, "ltc": request, "mtp": request, "nor": request, "nrr": request,
	"pb": request, "sn": request, "sta": request, "su": request, "tbl": request,
	"cid": session, "msd": session, "pr": session, "sf": session, "sid": session, "st": session, "v": session,
	"bg": status, "bs": status, "bsa": status, "bsd": status, "bsda": status, "cdn": status, "ec": status, "nr": status, "pt": status, "rtp": status,
	"cen": "", "cmsdd": "", "cmsds": "", "df": "", "e": "", "h": "", "rc": "", "smrt": "", "ts": "", "ttfb": "", "ttfbb": "", "ttlb": "", "url": "",
}

// words are the keys whose values are tokens, where JSON cannot tell.
var words = map[string]bool{"e": true, "ot": true, "sf": true, "st": true, "sta": true}

// FromQuery reads the query's dictionary; an empty one where it has none.
func FromQuery(q url.Values) (Data, error) { return Parse(q.Get(Parameter)) }

// ToQuery returns the address with the dictionary in its query.
func ToQuery(address string, d Data) (string, error) {
	text, err := Print(d)
	if err != nil || text == "" {
		return address, err
	}
	mark := "?"
	if strings.Contains(address, "?") {
		mark = "&"
	}
	// %20 and not +: the standard's own examples percent-encode, and not every reader of addresses knows the other.
	return address + mark + Parameter + "=" + strings.ReplaceAll(url.QueryEscape(text), "+", "%20"), nil
}

// FromHeaders reads the dictionary that the four headers carry between them; an empty one where there is none.
func FromHeaders(h http.Header) (Data, error) {
	d := Data{}
	for _, name := range headers {
		part, err := Parse(strings.Join(h.Values(name), ","))
		if err != nil {
			return nil, err
		}
		maps.Copy(d, part)
	}
	return d, nil
}

// ToHeaders adds the dictionary to the headers. One's own keys travel with the request's. It fails with Invalid for keys of event mode.
func ToHeaders(h http.Header, d Data) error {
	parts := map[string]Data{}
	for key, v := range d {
		name, known := headerOf[key]
		if !known {
			name = request
		}
		if name == "" {
			return fmt.Errorf("CMCD: %s belongs to event mode and travels in no header: %w", key, bijou.Invalid)
		}
		if parts[name] == nil {
			parts[name] = Data{}
		}
		parts[name][key] = v
	}
	for _, name := range headers {
		text, err := Print(parts[name])
		if err != nil {
			return err
		}
		if text != "" {
			h.Set(name, text)
		}
	}
	return nil
}

// PrintReports returns a report in event mode: a dictionary a line.
func PrintReports(all []Data) ([]byte, error) {
	var out bytes.Buffer
	for i, d := range all {
		line, err := Print(d)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out.WriteByte('\n')
		}
		out.WriteString(line)
	}
	return out.Bytes(), nil
}

// ParseReports reads a report in event mode: a dictionary a line, or JSON, which is an object or a list of them. It fails with Invalid for
// more than most, and where one cannot be read.
func ParseReports(body []byte, most int) ([]Data, error) {
	text := bytes.TrimSpace(body)
	if len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		return fromJSON(text, most)
	}
	var all []Data
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(all) == most {
			return nil, tooMany(most)
		}
		d, err := Parse(string(line))
		if err != nil {
			return nil, fmt.Errorf("report %d: %w", len(all)+1, err)
		}
		all = append(all, d)
	}
	return all, nil
}

func tooMany(most int) error {
	return fmt.Errorf("CMCD: more than %d reports at once: send them in parts: %w", most, bijou.Invalid)
}

// PrintJSON returns the dictionaries as a list of JSON objects.
func PrintJSON(all []Data) ([]byte, error) {
	list := make([]map[string]any, 0, len(all))
	for _, d := range all {
		if _, err := Print(d); err != nil {
			return nil, err
		}
		m := map[string]any{}
		for key, v := range d {
			if unsaid(key, v) {
				continue
			}
			var items []any
			for _, item := range v.Items {
				items = append(items, jsonOf(item))
			}
			if m[key] = any(items); !v.List {
				m[key] = items[0]
			}
		}
		list = append(list, m)
	}
	return json.Marshal(list)
}

// jsonItem is an item of which something is said.
type jsonItem struct {
	Value  any            `json:"value"`
	Params map[string]any `json:"params"`
}

func jsonOf(i Item) any {
	if len(i.Params) == 0 {
		return i.Value
	}
	j := jsonItem{i.Value, map[string]any{}}
	for _, p := range i.Params {
		j.Params[p.Name] = p.Value
	}
	return j
}

func fromJSON(text []byte, most int) ([]Data, error) {
	var raw []json.RawMessage
	if text[0] == '{' {
		raw = append(raw, text)
	} else if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("CMCD: the report cannot be read as JSON (%v): %w", err, bijou.Invalid)
	}
	if len(raw) > most {
		return nil, tooMany(most)
	}
	var all []Data
	for i, r := range raw {
		var fields map[string]any
		if err := json.Unmarshal(r, &fields); err != nil || len(r) > MaxBytes || len(fields) > maxKeys {
			return nil, fmt.Errorf("CMCD: report %d must be a JSON object of at most %d bytes and %d keys: %w", i+1, MaxBytes, maxKeys, bijou.Invalid)
		}
		d := Data{}
		for key, v := range fields {
			if len(key) > maxKey {
				continue
			}
			if value := fromAny(key, v); len(value.Items) > 0 {
				d[key] = value
			}
		}
		all = append(all, d)
	}
	return all, nil
}

// fromAny reads a value of JSON. What no dictionary can hold is passed over.
func fromAny(key string, v any) (out Value) {
	list, many := v.([]any)
	if !many {
		list = []any{v}
	}
	out.List = many
	for _, v := range list[:min(len(list), maxItems)] {
		item := Item{Value: v}
		if m, ok := v.(map[string]any); ok {
			item.Value = m["value"]
			params, _ := m["params"].(map[string]any) // none where it is anything else
			for _, name := range slices.Sorted(maps.Keys(params)) {
				if scalar(params[name]) && len(item.Params) < maxItems {
					item.Params = append(item.Params, Param{name, params[name]})
				}
			}
		}
		if s, ok := item.Value.(string); ok && words[key] {
			item.Value = Token(s)
		}
		if scalar(item.Value) {
			out.Items = append(out.Items, item)
		}
	}
	return out
}

func scalar(v any) bool {
	switch v := v.(type) {
	case bool, Token:
		return true
	case string:
		return len(v) <= maxText
	case float64:
		return math.Abs(v) < 1e15
	}
	return false
}
