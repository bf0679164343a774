package media

import (
	"embed"
	"maps"
	"path"
	"slices"
	"strings"
)

// The prompts that are played over and over.
const (
	waitingName = "waiting"
	musicName   = "music"
)

// music is what is heard on hold; it holds whole frames.
//
//go:embed prompts/music.al
var music string

// spoken holds the clips, whole frames each.
//
//go:embed prompts/id/*.al
var spoken embed.FS

const spokenDir = "prompts/id"

// Library is prompts by name, in Indonesian; it never changes. "waiting" is what a caller hears in line and "music"
// what is heard on hold, played over and over. All others are clips, played once: a word or a sentence each, which
// prompts/README.md lists.
type Library struct{ loops map[string]*Prompt }

// NewLibrary is a library with an announcement and a music of somebody's own; nil: the built-in one.
func NewLibrary(announcement, music *Prompt) *Library {
	if announcement == nil {
		announcement = Announcement()
	}
	if music == nil {
		music = builtInMusic()
	}
	return &Library{loops: map[string]*Prompt{waitingName: looped(announcement), musicName: looped(music)}}
}

func builtInMusic() *Prompt { return &Prompt{sound: music, loop: true} }

func looped(p *Prompt) *Prompt { return &Prompt{sound: p.sound, loop: p.sound != ""} }

// Names are the names of all prompts, sorted.
func (l *Library) Names() []string {
	names := slices.Collect(maps.Keys(l.loops))
	clips, _ := spoken.ReadDir(spokenDir) // built in: it is there
	for _, c := range clips {
		names = append(names, strings.TrimSuffix(c.Name(), path.Ext(c.Name())))
	}
	slices.Sort(names)
	return names
}

// Prompt is the prompts of those names, one after the other: "status ready number-3 waiting-calls". Names are parted by
// spaces. More than one are played once, whatever they are. It is nil if a name is unknown or there is none.
func (l *Library) Prompt(words string) *Prompt {
	names := strings.Fields(words)
	if len(names) == 1 && l.loops[names[0]] != nil {
		return l.loops[names[0]]
	}
	var joined strings.Builder
	for _, name := range names {
		if p := l.loops[name]; p != nil {
			joined.WriteString(p.sound)
			continue
		}
		clip, err := spoken.ReadFile(path.Join(spokenDir, name+".al"))
		if err != nil {
			return nil
		}
		joined.Write(clip)
	}
	if len(names) == 0 {
		return nil
	}
	return &Prompt{sound: joined.String()}
}
