package spec

import (
	"reflect"
)

// Field is one key of a manifest. The tree of all fields is read once from the types of this package and their tags:
//
//	json:"key"         the key; a key without omitzero or omitempty must be said
//	class:"live"       what a change does: live, replace
//	format:"path"      the form of a text, of a list's items or of a map's values, see formats
//	keys:"label"       the form of a map's keys
//	min:"1" max:"10"   the bounds of a number or quantity
//	unit:"bytes"       a limit that counts bytes
type Field struct {
	// Path is the key with all keys above it: spec.resources.memory.max. Items of a list are below the list's own path.
	Path string `json:"path"`
	// Type is the kind of value in words: text, number, list of texts, map of objects.
	Type string `json:"type"`
	// Default is the value when nothing is said, "" when there is none.
	Default string `json:"default,omitzero"`
	// Class says what a change does: ClassLive, ClassReplace, or "" for what cannot change.
	Class string `json:"class,omitzero"`
	// Required tells whether the key must be said.
	Required bool `json:"required,omitzero"`
	// Values are the only words allowed, if they are few.
	Values []string `json:"values,omitzero"`
	// Min and Max bound a number or quantity, "" for no bound.
	Min string `json:"min,omitzero"`
	Max string `json:"max,omitzero"`
	// Doc is the field's comment.
	Doc string `json:"doc"`
	// Fields are the keys below this one.
	Fields []Field `json:"fields,omitzero"`

	name   string
	shape  shape
	kind   kind
	format string
	keys   string
	bytes  bool
	apart  bool // of a document whose keys have nothing to do with those of manifests
	whole  bool // a number of 64 bits without a sign
}

// shape says whether a field is one value, a list or a map of them.
type shape int

const (
	shapeOne shape = iota
	shapeList
	shapeMap
)

// kind is the kind of a value.
type kind int

const (
	kindObject kind = iota
	kindText
	kindSwitch
	kindNumber
	kindLimit
	kindBytes
	kindCores
	kindDuration
	kindOffset
)

// kindNames are the kinds as people read them, alone and in a list or map.
var kindNames = map[kind][2]string{
	kindObject:   {"object", "objects"},
	kindText:     {"text", "texts"},
	kindSwitch:   {"true or false", "switches"},
	kindNumber:   {"whole number", "whole numbers"},
	kindLimit:    {"number or max", "limits"},
	kindBytes:    {"size", "sizes"},
	kindCores:    {"processors or max", "limits"},
	kindDuration: {"duration", "durations"},
	kindOffset:   {"duration or its negative", "offsets"},
}

// enums are the words of the types that have only a few, the default first.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[State]():          words(StateRunning, StatePaused, StateStopped, StateCheckpointed),
	reflect.TypeFor[DeletionPolicy](): words(DeletionStop, DeletionCheckpoint, DeletionOrphan),
	reflect.TypeFor[Base]():           words(BaseStandard, BaseNone),
	reflect.TypeFor[UserMode]():       words(UserHost, UserAuto, UserMap, UserJoin),
	reflect.TypeFor[Propagation]():    words(Propagations...),
	reflect.TypeFor[Medium]():         words(MediumMemory, MediumDisk, MediumDirect),
	reflect.TypeFor[LogDriver]():      words(LogDrivers()...),
	reflect.TypeFor[Life]():           words(LifeStart, LifeInstance, LifeName),
	reflect.TypeFor[NetworkMode]():    words(NetworkPrivate, NetworkHost, NetworkNone, NetworkBridge, NetworkJoin),
	reflect.TypeFor[Protocol]():       words(ProtocolTCP, ProtocolUDP),
	reflect.TypeFor[SeccompMode]():    words(SeccompDefault, SeccompUnconfined, SeccompByProfile),
	reflect.TypeFor[Keyring]():        words(KeyringNew, KeyringInherit),
	reflect.TypeFor[TimeMode]():       words(TimeHost, TimePrivate),
	reflect.TypeFor[SchedulerPolicy](): words(
		SchedulerOther, SchedulerBatch, SchedulerIdle, SchedulerFIFO, SchedulerRR, SchedulerDeadline,
	),
	reflect.TypeFor[IOClass](): words(IOClassBE, IOClassRT, IOClassIdle),
	reflect.TypeFor[MemoryMode](): words(
		MemoryDefault, MemoryBind, MemoryInterleave, MemoryWeightedInterleave, MemoryPreferred, MemoryPreferredMany, MemoryLocal,
	),
	reflect.TypeFor[PersonalityDomain](): words(PersonalityLinux, PersonalityLinux32),
	reflect.TypeFor[RestartPolicy]():     words(RestartAlways, RestartOnFailure, RestartNever),
	reflect.TypeFor[RestartAction]():     words(ActionRestart, ActionStop),
	reflect.TypeFor[ExitReason]():        words(exitReasons...),
	reflect.TypeFor[Concurrency]():       words(ConcurrencyForbid, ConcurrencyReplace),
	reflect.TypeFor[OnFailure]():         words(FailureRollback, FailureKeep),
	reflect.TypeFor[OnChange]():          words(OnChangeRestart, OnChangeSignal, OnChangeIgnore),
	reflect.TypeFor[Milestone]():         words(MilestoneReady, MilestoneStarted, MilestoneCompleted),

	reflect.TypeFor[Scheme](): words(SchemeHTTP, SchemeHTTPS),

	reflect.TypeFor[RestoreOnStart](): words(RestoreNever, RestoreLatest),
	reflect.TypeFor[OnCrash]():        words(CrashRestart, CrashRestore),
	reflect.TypeFor[Compression]():    words(CompressNone, CompressZstd),
	reflect.TypeFor[TCPMode]():        words(TCPEstablished, TCPClose),

	reflect.TypeFor[SeccompAction]():  words(SeccompActions...),
	reflect.TypeFor[SeccompArch]():    words(SeccompArchs...),
	reflect.TypeFor[SeccompFlag]():    words(SeccompFlags...),
	reflect.TypeFor[SeccompOp]():      words(SeccompOps...),
	reflect.TypeFor[Permission]():     words(Allow, Deny),
	reflect.TypeFor[Requirement]():    words(Optional, Required),
	reflect.TypeFor[DeviceType]():     words(DeviceChar, DeviceBlock, DevicePipe),
	reflect.TypeFor[DeviceRuleType](): words(RuleAll, RuleChar, RuleBlock),
}

func words[T ~string](values ...T) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = string(v)
	}
	return list
}

// typeName is the field's kind and shape in words.
func (f *Field) typeName() string {
	names := kindNames[f.kind]
	switch {
	case f.shape == shapeList:
		return "list of " + names[1]
	case f.shape == shapeMap:
		return "map of " + names[1]
	case f.kind == kindLimit && f.bytes:
		return "size or max"
	}
	return names[0]
}

// find is the field with a key, nil when there is none.
func (f *Field) find(name string) *Field {
	for i := range f.Fields {
		if f.Fields[i].name == name {
			return &f.Fields[i]
		}
	}
	return nil
}

// item is the field of an entry of a list or map: the same, but one.
func (f *Field) item() *Field {
	one := *f
	one.shape = shapeOne
	one.Type = one.typeName()
	return &one
}

// names are the keys below a field.
func (f *Field) names() []string {
	list := make([]string, len(f.Fields))
	for i := range f.Fields {
		list[i] = f.Fields[i].name
	}
	return list
}
