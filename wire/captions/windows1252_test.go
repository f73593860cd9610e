package captions

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"

	"bijou"
)

// firstArticle is the first article of the Universal Declaration of Human Rights, by language.
var firstArticle = map[string]string{
	"en": "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and should act towards one another in a spirit of brotherhood.",
	"fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de conscience et doivent agir les uns envers les autres dans un esprit de fraternité.",
	"de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt und sollen einander im Geist der Brüderlichkeit begegnen.",
	"es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón y conciencia, deben comportarse fraternalmente los unos con los otros.",
	"pt": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos. Dotados de razão e de consciência, devem agir uns para com os outros em espírito de fraternidade.",
	"it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono dotati di ragione e di coscienza e devono agire gli uni verso gli altri in spirito di fratellanza. Perché è così.",
	"nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn begiftigd met verstand en geweten, en behoren zich jegens elkander in een geest van broederschap te gedragen. Eén idee, twee ideeën.",
	"da": "Alle mennesker er født frie og lige i værdighed og rettigheder. De er udstyret med fornuft og samvittighed, og de bør handle mod hverandre i en broderskabets ånd.",
	"sv": "Alla människor är födda fria och lika i värde och rättigheter. De är utrustade med förnuft och samvete och bör handla gentemot varandra i en anda av broderskap.",
	"fi": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan. Heille on annettu järki ja omatunto, ja heidän on toimittava toisiaan kohtaan veljeyden hengessä.",
	"is": "Hver maður er borinn frjáls og jafn öðrum að virðingu og réttindum. Menn eru gæddir vitsmunum og samvizku, og ber þeim að breyta bróðurlega hverjum við annan.",
	"et": "Kõik inimesed sünnivad vabadena ja võrdsetena oma väärikuselt ja õigustelt. Neile on antud mõistus ja südametunnistus ja nende suhtumist üksteisesse peab kandma vendluse vaim.",
	"ca": "Tots els éssers humans neixen lliures i iguals en dignitat i en drets. Són dotats de raó i de consciència, i els cal mantenir-se entre ells amb esperit de fraternitat. Què és això?",
	"sq": "Të gjithë njerëzit lindin të lirë dhe të barabartë në dinjitet dhe në të drejta. Ata kanë arsye dhe ndërgjegje dhe duhet të sillen ndaj njëri tjetrit me frymë vëllazërimi.",
	"pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni rozumem i sumieniem i powinni postępować wobec innych w duchu braterstwa.",
	"cs": "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv. Jsou nadáni rozumem a svědomím a mají spolu jednat v duchu bratrství.",
	"sk": "Všetci ľudia sa rodia slobodní a sebe rovní, čo sa týka ich dôstojnosti a práv. Sú obdarení rozumom a svedomím a majú navzájom jednať v bratskom duchu.",
	"hu": "Minden emberi lény szabadon születik és egyenlő méltósága és joga van. Az emberek, ésszel és lelkiismerettel bírván, egymással szemben testvéri szellemben kell hogy viseltessenek. Hűség, öröm, erő.",
	"ro": "Toate fiinţele umane se nasc libere şi egale în demnitate şi în drepturi. Ele sunt înzestrate cu raţiune şi conştiinţă şi trebuie să se comporte unele faţă de altele în spiritul fraternităţii.",
	"hr": "Sva ljudska bića rađaju se slobodna i jednaka u dostojanstvu i pravima. Ona su obdarena razumom i sviješću i trebaju jedna prema drugima postupati u duhu bratstva.",
	"sl": "Vsi ljudje se rodijo svobodni in imajo enako dostojanstvo in enake pravice. Obdarjeni so z razumom in vestjo in bi morali ravnati drug z drugim kakor bratje. Če že človek želi.",
	"tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler ve birbirlerine karşı kardeşlik zihniyeti ile hareket etmelidirler.",
	"lt": "Visi žmonės gimsta laisvi ir lygūs savo orumu ir teisėmis. Jiems suteiktas protas ir sąžinė ir jie turi elgtis vienas kito atžvilgiu kaip broliai.",
	"lv": "Visi cilvēki piedzimst brīvi un vienlīdzīgi savā pašcieņā un tiesībās. Viņi ir apveltīti ar saprātu un sirdsapziņu, un viņiem jāizturas citam pret citu brālības garā.",
	"ru": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью и должны поступать в отношении друг друга в духе братства.",
	"uk": "Всі люди народжуються вільними і рівними у своїй гідності та правах. Вони наділені розумом і совістю і повинні діяти у відношенні один до одного в дусі братерства.",
	"el": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι προικισμένοι με λογική και συνείδηση.",
	"he": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון, לפיכך חובה עליהם לנהוג איש ברעהו ברוח של אחווה.",
	"ar": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا وعليهم أن يعامل بعضهم بعضا بروح الإخاء.",
	"th": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
	"ja": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
	"zh": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
	"tw": "人人生而自由，在尊嚴和權利上一律平等。他們賦有理性和良心，並應以兄弟關係的精神相對待。",
	"ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 이성과 양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다.",
}

// written is a text as the only subtitle of a file.
func written(text string) string { return "1\n00:00:01,000 --> 00:00:02,000\n" + text + "\n" }

func TestATextIsReadAsItWasWrittenOrRefused(t *testing.T) {
	dos, mac := charmap.CodePage850, charmap.Macintosh
	for languages, sets := range map[string][]encoding.Encoding{
		"en fr de es pt it nl da sv fi is et ca sq": {charmap.Windows1252},
		"fr de es pt it nl da sv ca":                {dos, mac},
		"pl cs sk hu ro hr sl":                      {charmap.Windows1250, charmap.ISO8859_2, charmap.CodePage852},
		"tr":                                        {charmap.Windows1254},
		"lt lv et":                                  {charmap.Windows1257},
		"ru":                                        {charmap.Windows1251, charmap.KOI8U, charmap.ISO8859_5, charmap.CodePage866}, "uk": {charmap.Windows1251, charmap.KOI8U},
		"el": {charmap.Windows1253}, "he": {charmap.Windows1255}, "ar": {charmap.Windows1256}, "th": {charmap.Windows874},
		"ja": {japanese.ShiftJIS, japanese.EUCJP, japanese.ISO2022JP}, "zh": {simplifiedchinese.GBK}, "tw": {traditionalchinese.Big5}, "ko": {korean.EUCKR},
	} {
		for _, language := range strings.Fields(languages) {
			for _, set := range sets {
				name := fmt.Sprintf("%s in %v", language, set)
				raw, err := encoding.ReplaceUnsupported(set.NewEncoder()).String(written(firstArticle[language]))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				got, err := ToWebVTT([]byte(raw), "a.srt")
				switch {
				case set == charmap.Windows1252 && err != nil:
					t.Errorf("%s: got %v, want it to be read", name, err)
				case err == nil && !strings.Contains(string(got), firstArticle[language]):
					t.Errorf("%s: got %q, want it as written or refused", name, got)
				case err != nil && (!errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), "iconv")):
					t.Errorf("%s: got %v, want it to say how to convert", name, err)
				}
			}
		}
	}
}

func TestAShortTextIsReadAsItWasWrittenOrRefused(t *testing.T) {
	for text, set := range map[string]*charmap.Charmap{
		"Żółty":    charmap.Windows1250,
		"Może być": charmap.Windows1250,
		"Miał":     charmap.ISO8859_2,
		"Да!":      charmap.KOI8R,
		"Нет":      charmap.Windows1251,
		"Ναι":      charmap.Windows1253,
		"bientôt":  charmap.CodePage850,
		"mañana":   charmap.CodePage850,
		"Příliš":   charmap.Windows1250,
		"été":      charmap.Macintosh,
	} {
		raw, err := set.NewEncoder().String(written(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got, err := ToWebVTT([]byte(raw), "a.srt"); err == nil && !strings.Contains(string(got), text) {
			t.Errorf("%s in %v: got %q, want it refused", text, set, got)
		}
	}
	for _, text := range []string{"Olá, São Paulo!", "¿Qué? ¡No! 5 € · 20° – “sí”", "l’été à 30 °C… «ça va»", "Façade", "m² and m³", "¡Hola!", "„Schön“, sagte er.", "1º de maio"} {
		raw, err := charmap.Windows1252.NewEncoder().String(written(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ToWebVTT([]byte(raw), "a.srt"); err != nil || !strings.Contains(string(got), text) {
			t.Errorf("%s: got %q, %v, want it read", text, got, err)
		}
	}
	english := strings.Repeat(firstArticle["en"]+"\n", 5) + "Björk met Beyoncé and Señor Ångström in a café.\n"
	raw, err := charmap.Windows1252.NewEncoder().String(written(english))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ToWebVTT([]byte(raw), "a.srt"); err != nil || !strings.Contains(string(got), "Ångström") {
		t.Errorf("English with names: got %q, %v, want it read", got, err)
	}
}

func TestRealSubtitlesInWindows1252AreRead(t *testing.T) {
	for _, name := range []string{"TOS-de.srt", "sintel_trailer_es.srt", "sintel_trailer_en.srt"} {
		whole, err := os.ReadFile(filepath.Join(subs, name))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := encoding.ReplaceUnsupported(charmap.Windows1252.NewEncoder()).Bytes([]byte(strings.TrimPrefix(string(whole), "\ufeff")))
		if err != nil {
			t.Fatal(err)
		}
		want, errW := ToWebVTT(whole, name)
		got, errG := ToWebVTT(raw, name)
		if errW != nil || errG != nil || string(got) != string(want) {
			t.Errorf("%s: got %v and %v, or another text than in UTF-8", name, errW, errG)
		}
	}
}
