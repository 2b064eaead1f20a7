// A client that asks and reads as Wikimedia Enterprise's Go SDK does, byte for byte where it matters, with
// the loop around it that a partner writes. It tells what it sees as JSON lines on stdout.
//
//	read '{"url": "http://127.0.0.1:1/", "token": …, "request": {…}, "follow": true, "partitions": 10}'
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// What is not given is left out of the body.
type filter struct {
	Field string      `json:"field"`
	Value interface{} `json:"value"`
}

type request struct {
	Since             *time.Time        `json:"since,omitempty"`
	Fields            []string          `json:"fields,omitempty"`
	Filters           []*filter         `json:"filters,omitempty"`
	Limit             int               `json:"limit,omitempty"`
	Parts             []int             `json:"parts,omitempty"`
	Offsets           map[int]int64     `json:"offsets,omitempty"`
	SincePerPartition map[int]time.Time `json:"since_per_partition,omitempty"`
}

// One field of another type ends the stream.
type named struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

type probability struct {
	False float64 `json:"false"`
	True  float64 `json:"true"`
}

type article struct {
	Name                   string     `json:"name"`
	Abstract               string     `json:"abstract"`
	Identifier             int        `json:"identifier"`
	DateCreated            *time.Time `json:"date_created"`
	DateModified           *time.Time `json:"date_modified"`
	DatePreviouslyModified *time.Time `json:"date_previously_modified"`
	URL                    string     `json:"url"`
	Protection             []*struct {
		Type   string `json:"type"`
		Level  string `json:"level"`
		Expiry string `json:"expiry"`
	} `json:"protection"`
	Version *struct {
		Identifier         int      `json:"identifier"`
		Comment            string   `json:"comment"`
		Tags               []string `json:"tags"`
		IsMinorEdit        bool     `json:"is_minor_edit"`
		NumberOfCharacters int      `json:"number_of_characters"`
		Size               *struct {
			Value    float64 `json:"value"`
			UnitText string  `json:"unit_text"`
		} `json:"size"`
		Scores *struct {
			RevertRisk *struct {
				Prediction  bool         `json:"prediction"`
				Probability *probability `json:"probability"`
			} `json:"revertrisk"`
		} `json:"scores"`
		Editor *struct {
			Identifier  int        `json:"identifier"`
			Name        string     `json:"name"`
			EditCount   int        `json:"edit_count"`
			Groups      []string   `json:"groups"`
			IsBot       bool       `json:"is_bot"`
			IsAnonymous bool       `json:"is_anonymous"`
			DateStarted *time.Time `json:"date_started"`
		} `json:"editor"`
	} `json:"version"`
	PreviousVersion *struct {
		Identifier         int `json:"identifier"`
		NumberOfCharacters int `json:"number_of_characters"`
	} `json:"previous_version"`
	Namespace *struct {
		Identifier int    `json:"identifier"`
		Name       string `json:"name"`
	} `json:"namespace"`
	InLanguage *struct {
		Identifier string `json:"identifier"`
		Name       string `json:"name"`
		Direction  string `json:"direction"`
	} `json:"in_language"`
	MainEntity *struct {
		Identifier string `json:"identifier"`
		URL        string `json:"url"`
	} `json:"main_entity"`
	Categories []*named `json:"categories"`
	Templates  []*named `json:"templates"`
	Redirects  []*named `json:"redirects"`
	IsPartOf   *struct {
		Identifier string `json:"identifier"`
		Name       string `json:"name"`
		URL        string `json:"url"`
	} `json:"is_part_of"`
	ArticleBody *struct {
		HTML     string `json:"html"`
		WikiText string `json:"wikitext"`
	} `json:"article_body"`
	License []*struct {
		Name       string `json:"name"`
		Identifier string `json:"identifier"`
		URL        string `json:"url"`
	} `json:"license"`
	Visibility *struct {
		Text    bool `json:"text"`
		Editor  bool `json:"editor"`
		Comment bool `json:"comment"`
	} `json:"visibility"`
	Event *struct {
		Identifier    string     `json:"identifier"`
		Type          string     `json:"type"`
		DateCreated   *time.Time `json:"date_created"`
		DatePublished *time.Time `json:"date_published"`
		Partition     *int       `json:"partition"`
		Offset        *int64     `json:"offset"`
	} `json:"event"`
}

// An article may have so many bytes.
const lineBytes = 20971520

func tell(line map[string]interface{}) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(append(text, '\n'))
}

// GET with a JSON body. Ends with nil where the stream ends, and where it breaks between two lines.
func stream(client *http.Client, base, token string, asked *request, each func(*article)) error {
	body, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	sent, err := http.NewRequest(http.MethodGet, base+"v2/articles", bytes.NewReader(body))
	if err != nil {
		return err
	}
	sent.Header.Set("User-Agent", "")
	sent.Header.Set("Content-Type", "application/json")
	sent.Header.Set("Authorization", "Bearer "+token)
	sent.Header.Set("Cache-Control", "no-cache")
	sent.Header.Set("Accept", "application/x-ndjson")
	sent.Header.Set("Connection", "keep-alive")
	answer, err := client.Do(sent)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 226 {
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			return err
		}
		return errors.New(string(text))
	}
	encoding := "identity"
	if answer.Uncompressed { // Go asks for gzip by itself, and hides that it got it
		encoding = "gzip"
	}
	tell(map[string]interface{}{"status": answer.StatusCode, "encoding": encoding})
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer([]byte{}, lineBytes)
	for lines.Scan() {
		one := new(article)
		if err := json.Unmarshal(lines.Bytes(), one); err != nil {
			return err
		}
		each(one)
	}
	return nil
}

func main() {
	var settings struct {
		URL        string  `json:"url"`
		Token      string  `json:"token"`
		Encoding   string  `json:"encoding"`
		Request    request `json:"request"`
		Follow     bool    `json:"follow"`
		Partitions int     `json:"partitions"`
	}
	if err := json.Unmarshal([]byte(os.Args[1]), &settings); err != nil {
		panic(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableCompression: settings.Encoding != "gzip"}}
	next := map[int]int64{}
	asked := settings.Request
	for {
		err := stream(client, settings.URL, settings.Token, &asked, func(one *article) {
			line := map[string]interface{}{"identifier": one.Identifier, "name": one.Name}
			if one.ArticleBody != nil {
				line["wikitext"] = one.ArticleBody.WikiText
			}
			if one.Version != nil {
				line["revision"] = one.Version.Identifier
			}
			if one.Event != nil && one.Event.Partition != nil && one.Event.Offset != nil {
				partition, offset := *one.Event.Partition, *one.Event.Offset
				if offset < next[partition] {
					return
				}
				next[partition] = offset + 1
				line["partition"], line["offset"] = partition, offset
			}
			tell(map[string]interface{}{"article": line})
		})
		if err != nil {
			tell(map[string]interface{}{"error": err.Error()})
		}
		if !settings.Follow {
			tell(map[string]interface{}{"end": true})
			return
		}
		// offsets that name some partitions start the others live: until all are known, `since` again
		if len(next) == settings.Partitions {
			asked.Since, asked.Offsets = nil, next
		}
		time.Sleep(10 * time.Millisecond)
	}
}
