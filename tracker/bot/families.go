package bot

// feature is a set of what a user agent shows, one bit each.
type feature uint64

// Mail clients first, then what else people read with; see families.
const (
	outlook feature = 1 << iota
	thunderbird
	emClient
	mailbird
	mailspring
	blueMail
	airmail
	superhuman
	postbox
	evolution
	kmail
	notes
	theBat
	clawsMail
	yahooMail
	samsungEmail
	windowsMail

	facebook
	instagram
	linkedIn
	googleApp
	edge
	opera
	samsungInternet
	yandexBrowser
	vivaldi
	duckDuckGo
	ucBrowser
	huaweiBrowser
	miuiBrowser
	silk
	whale
	firefox
	androidApp
	chrome
	safari
	explorer
	gecko

	webKit
	windowsPhone
	android
	iPhone
	iPad
	chromeOS
	windows
	mac
	linux
	mobile
	tablet
)

// tokens is what the features are told by. They are matched as they are written.
var tokens = []struct {
	text string
	is   feature
}{
	{"Microsoft Outlook", outlook}, {"ms-office", outlook | windows}, {"MSOffice", outlook | windows}, {"MacOutlook", outlook | mac}, {"Outlook-Mac", outlook | mac},
	{"Outlook-iOS", outlook | iPhone}, {"Outlook-Android", outlook | android | mobile}, {"Outlook-iOS-Android", outlook | android | mobile},
	{"Thunderbird/", thunderbird}, {"Betterbird/", thunderbird}, {"eM Client", emClient}, {"eMClient", emClient}, {"Mailbird", mailbird}, {"Mailspring", mailspring},
	{"BlueMail", blueMail}, {"Airmail", airmail}, {"AirMail", airmail}, {"Superhuman", superhuman}, {"Postbox/", postbox}, {"Evolution/", evolution},
	{"KMail", kmail}, {"kmail2", kmail}, {"Kontact", kmail}, {"kontact", kmail}, {"Lotus-Notes", notes}, {"HCL-Notes", notes}, {"The Bat!", theBat}, {"Claws Mail", clawsMail},
	{"YahooMobile", yahooMail}, {"SamsungEmail", samsungEmail}, {"Outlook-Express/", windowsMail},

	{"FBAN/", facebook}, {"FBAV/", facebook}, {"FB_IAB/", facebook}, {"Instagram ", instagram}, {"LinkedInApp", linkedIn}, {"GSA/", googleApp},
	{"Edg/", edge}, {"EdgA/", edge}, {"EdgiOS/", edge}, {"Edge/", edge}, {"OPR/", opera}, {"OPiOS/", opera}, {"OPT/", opera}, {"Opera", opera},
	{"SamsungBrowser/", samsungInternet}, {"YaBrowser/", yandexBrowser}, {"Vivaldi/", vivaldi}, {"DuckDuckGo/", duckDuckGo}, {"Ddg/", duckDuckGo},
	{"UCBrowser/", ucBrowser}, {"HuaweiBrowser/", huaweiBrowser}, {"MiuiBrowser/", miuiBrowser}, {"Silk/", silk}, {"Whale/", whale},
	{"Firefox/", firefox}, {"FxiOS/", firefox}, {"Focus/", firefox}, {"; wv)", androidApp}, {"Chrome/", chrome}, {"CriOS/", chrome}, {"Chromium/", chrome},
	{"Safari/", safari}, {"Trident/", explorer}, {"MSIE ", explorer}, {" Gecko/", gecko},

	{"AppleWebKit/", webKit}, {"Windows Phone", windowsPhone}, {"Android", android}, {"iPhone", iPhone}, {"iPod", iPhone}, {"iPad", iPad}, {"CrOS", chromeOS},
	{"Windows", windows}, {"Macintosh", mac}, {"Mac OS X", mac}, {"macOS", mac}, {"Linux", linux}, {"X11", linux}, {"Mobile", mobile}, {"Tablet", tablet},
}

// families are the clients, the most telling first: most browsers also name the ones they descend from.
var families = []struct {
	is   feature
	name string
	how  string // the reason that it gives a verdict
}{
	{outlook, "Outlook", reasonMail}, {thunderbird, "Thunderbird", reasonMail}, {emClient, "eM Client", reasonMail}, {mailbird, "Mailbird", reasonMail}, {mailspring, "Mailspring", reasonMail},
	{blueMail, "BlueMail", reasonMail}, {airmail, "Airmail", reasonMail}, {superhuman, "Superhuman", reasonMail}, {postbox, "Postbox", reasonMail}, {evolution, "Evolution", reasonMail},
	{kmail, "KMail", reasonMail}, {notes, "Notes", reasonMail}, {theBat, "The Bat!", reasonMail}, {clawsMail, "Claws Mail", reasonMail}, {yahooMail, "Yahoo Mail", reasonMail}, {samsungEmail, "Samsung Email", reasonMail},
	{windowsMail, "Windows Mail", reasonMail},
	{facebook, "Facebook", reasonApp}, {instagram, "Instagram", reasonApp}, {linkedIn, "LinkedIn", reasonApp}, {googleApp, "Google app", reasonApp},
	{edge, "Edge", reasonBrowser}, {opera, "Opera", reasonBrowser}, {samsungInternet, "Samsung Internet", reasonBrowser}, {yandexBrowser, "Yandex Browser", reasonBrowser}, {vivaldi, "Vivaldi", reasonBrowser},
	{duckDuckGo, "DuckDuckGo", reasonBrowser}, {ucBrowser, "UC Browser", reasonBrowser}, {huaweiBrowser, "Huawei Browser", reasonBrowser}, {miuiBrowser, "MIUI Browser", reasonBrowser}, {silk, "Silk", reasonBrowser}, {whale, "Whale", reasonBrowser},
	{firefox, "Firefox", reasonBrowser}, {androidApp, "Android app", reasonApp}, {chrome, "Chrome", reasonBrowser}, {safari, "Safari", reasonBrowser}, {explorer, "Internet Explorer", reasonBrowser}, {gecko, "Firefox", reasonBrowser},
}

// Clients told by what they do not say.
const (
	appleMail = "Apple Mail"
	macMail   = "Apple Mail or Outlook" // the new Outlook for Windows sends what Mail on a Mac sends
	appleApp  = "Apple app"
)

// client is the family of the client. WebKit on Apple's systems that does not call itself Safari is a
// program's own view of a page: at a beacon that is a mail client.
func (s *sighting) client(kind string) string {
	if name, _ := s.family(); name != "" {
		return name
	}
	switch {
	case s.features&webKit == 0 || s.features&(mac|iPhone|iPad) == 0:
		return ""
	case kind != Open:
		return appleApp
	case s.features&(iPhone|iPad) == 0:
		return macMail
	}
	return appleMail
}

func (s *sighting) family() (name, how string) {
	for i := range families {
		if s.features&families[i].is != 0 {
			return families[i].name, families[i].how
		}
	}
	return "", ""
}

// reading is the reason why a known client is a person's.
func (s *sighting) reading(kind string) string {
	_, how := s.family()
	switch {
	case how != "":
		return how
	case kind == Open:
		return reasonMail
	}
	return reasonApp
}

// browser says whether the client is a known one other than Apple's Mail.
func (s *sighting) browser() bool {
	name, _ := s.family()
	return name != ""
}

// os is the family of the operating system. Telephones name the systems they descend from as well, so
// the order matters.
func (s *sighting) os() string {
	switch f := s.features; {
	case f&windowsPhone != 0:
		return "Windows Phone"
	case f&android != 0:
		return "Android"
	case f&(iPhone|iPad) != 0:
		return "iOS"
	case f&chromeOS != 0:
		return "ChromeOS"
	case f&windows != 0:
		return "Windows"
	case f&mac != 0:
		return "macOS"
	case f&linux != 0:
		return "Linux"
	}
	return ""
}

func (s *sighting) device() string {
	switch f := s.features; {
	case f&iPad != 0, f&(android|tablet) == android|tablet:
		return Tablet
	case f&(windowsPhone|iPhone) != 0, f&(android|mobile) == android|mobile:
		return Mobile
	case f&android != 0 && f&(webKit|gecko) == 0:
		return ""
	case f&android != 0:
		return Tablet // Android's own rule: telephones say Mobile
	case f&(chromeOS|windows|mac|linux) != 0:
		return Desktop
	}
	return ""
}
