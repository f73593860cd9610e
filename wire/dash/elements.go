package dash

import "encoding/xml"

// The elements of an MPD, as far as they are printed. Their order is the schema's (annex B).
type (
	mpd struct {
		XMLName            xml.Name         `xml:"MPD"`
		Namespace          string           `xml:"xmlns,attr"`
		Profiles           string           `xml:"profiles,attr"`
		Type               string           `xml:"type,attr"`
		Duration           string           `xml:"mediaPresentationDuration,attr"`
		MinBufferTime      string           `xml:"minBufferTime,attr"`
		MaxSegmentDuration string           `xml:"maxSegmentDuration,attr"`
		BaseURLs           []baseURL        `xml:"BaseURL"`
		Steering           *contentSteering `xml:"ContentSteering"`
		Period             period           `xml:"Period"`
	}

	baseURL struct {
		Location string `xml:"serviceLocation,attr,omitempty"`
		Address  string `xml:",chardata"`
	}

	contentSteering struct {
		Address string `xml:",chardata"`
	}

	period struct {
		ID    string          `xml:"id,attr"`
		Start string          `xml:"start,attr"`
		Sets  []adaptationSet `xml:"AdaptationSet"`
	}

	adaptationSet struct {
		ID               int              `xml:"id,attr"`
		Lang             string           `xml:"lang,attr,omitempty"`
		ContentType      string           `xml:"contentType,attr"`
		MaxWidth         int              `xml:"maxWidth,attr,omitempty"`
		MaxHeight        int              `xml:"maxHeight,attr,omitempty"`
		MaxFrameRate     string           `xml:"maxFrameRate,attr,omitempty"`
		SegmentAlignment bool             `xml:"segmentAlignment,attr,omitempty"`
		MimeType         string           `xml:"mimeType,attr"`
		StartWithSAP     int              `xml:"startWithSAP,attr,omitempty"`
		Label            string           `xml:"Label,omitempty"`
		Role             *descriptor      `xml:"Role"`
		Representations  []representation `xml:"Representation"`
	}

	representation struct {
		ID         string      `xml:"id,attr"`
		Bandwidth  int64       `xml:"bandwidth,attr"`
		Width      int         `xml:"width,attr,omitempty"`
		Height     int         `xml:"height,attr,omitempty"`
		SAR        string      `xml:"sar,attr,omitempty"`
		FrameRate  string      `xml:"frameRate,attr,omitempty"`
		SampleRate int         `xml:"audioSamplingRate,attr,omitempty"`
		Codecs     string      `xml:"codecs,attr,omitempty"`
		Channels   *descriptor `xml:"AudioChannelConfiguration"`
		BaseURL    string      `xml:"BaseURL,omitempty"`
		Template   *template   `xml:"SegmentTemplate"`
	}

	descriptor struct {
		Scheme string `xml:"schemeIdUri,attr"`
		Value  string `xml:"value,attr"`
	}

	template struct {
		Timescale      int64  `xml:"timescale,attr"`
		StartNumber    int    `xml:"startNumber,attr"`
		Initialization string `xml:"initialization,attr"`
		Media          string `xml:"media,attr"`
		Timeline       []run  `xml:"SegmentTimeline>S"`
	}

	// run is one segment and the R after it that last as long.
	run struct {
		T *int64 `xml:"t,attr"`
		D int64  `xml:"d,attr"`
		R int    `xml:"r,attr,omitempty"`
	}
)

// add gives the set the next identifier of the period.
func (p *period) add(s adaptationSet) {
	s.ID = len(p.Sets) + 1
	p.Sets = append(p.Sets, s)
}
