package bounce

import "strings"

// phrase is a sequence of words, in the form of words, that tells a class.
type phrase struct {
	words  string
	class  Class
	domain bool // about the domain: holds whatever the status code
}

// match finds the phrase that decides. The table is ordered by mildness where two could stand in
// one statement: what the sender did wrong, then what passes, then what is final.
func match(text string) (phrase, bool) {
	for _, p := range phrases {
		if strings.Contains(text, p.words) {
			return p, true
		}
	}
	return phrase{}, false
}

// phrases is built once from the lists below.
var phrases = table()

func table() []phrase {
	var t []phrase
	for _, l := range []struct {
		class  Class
		domain bool
		list   []string
	}{
		{Hard, false, accountBlocked}, {Sender, false, senderPhrases}, {Soft, false, softPhrases},
		{Hard, true, domainPhrases}, {Hard, false, hardPhrases},
	} {
		for _, w := range l.list {
			t = append(t, phrase{words: w, class: l.class, domain: l.domain})
		}
	}
	return t
}

// accountBlocked stands before the sender's phrases, whose "blocked" it holds.
var accountBlocked = []string{
	" recipient account is blocked ", " compte du destinataire est bloque ", " user is blocked ", " mailbox is blocked ", " user account blocked ",
}

var senderPhrases = []string{
	// reputation
	" blacklist", " blocklist", " black list", " block list", " block lists", " blocked using ", " banned sending ip ", " reputation ", " rbl ", " dnsbl ",
	" spamhaus ", " spamcop ", " barracudacentral ", " ip blocked ", " blocked ip ", " has been blocked ", " was blocked ", " is blocked ", " poor reputation ",
	" weren t sent ", " client host rejected ", " host network not allowed ", " invalid ip for sending ", " unsolicited ",
	" on our block", " open relay ", " access denied ip name lookup ", " banned ", " bad reputation ", " not allowed to send ", " suspicious ",
	// rate
	" daily relay quota ", " too many recipients ", " ip frequency limited ", " frequency limited ", " rate limited due to ip ", " unexpected volume ",
	" sending rate ", " too many connections ", " too many messages from ", " user complaints ", " ask your postmaster for help or to contact ", " too many emails ", " hourly ",
	// authentication
	" dmarc ", " spf ", " dkim ", " unauthenticated ", " authentication checks failed ", " not authenticated ", " authentication required ", " authentication is required ", " sender id ",
	" reverse dns ", " ptr record", " rdns ", " does not match helo ", " may not be mail exchanger ", " mismatches client ip ", " email address is not verified ",
	" smtp auth", " auth capability ", " must authenticate ", " authentication information ",
	// the sender's address or name
	" sender address rejected ", " domain of sender ", " sender domain ", " unroutable sender ", " sender verify failed ", " invalid sender ", " sender rejected ",
	" my name was rejected ", " invalid domain name ", " in reply to mail from ", " after mail from ", " bad sender ", " bad helo ", " valid sender ",
	// content
	" spam ", " junk ", " ube ", " bulk email ", " bulk mail ", " virus ", " malware ", " phishing ", " content rejected ", " message content ", " content filter ", " mail rejected ", " mail rejete ", " message filtered ",
	" content presents a potential ", " prohibited content ", " contains a url ", " attachment type ", " attachments are not ", " illegal attachment ", " banned attachment", " attachment blocked ", " banned file", " header error ", " media error ",
	" improper use of 8 bit ", " line limit exceeded ", " line too long ", " rfc 5322 ", " rfc 2822 ", " multiple addresses in from ", " redundant ", " message format ", " infected ",
	// size
	" size limit", " message too large ", " message is too large ", " message size exceeds ", " message exceeds ", " exceeds the maximum ", " recipsizelimit ", " too big ", " exceeds maximum message size ", " exceeded maximum ", " larger than ",
	// policy and protocol
	" policy reasons ", " policy violation ", " policy restriction", " against policy ", " relay access denied ", " relaying denied ", " no relaying ", " relay not permitted ", " not permitted to relay ", " unable to relay ",
	" delivery not authorized ", " protocol violation ", " command parameter not implemented ", " command not implemented ", " bad sequence of commands ", " syntax error ", " starttls ", " does not support tls ", " must issue ", " pipelining ",
	" smtp server of your isp ", " domain filter ", " rejected by the domain ",
}

var softPhrases = []string{
	// full
	" mailbox full ", " mailbox is full ", " is full ", " user is full ", " over quota ", " overquota ", " over the quota ", " over its quota ", " over disk quota ", " over the maximum ", " quota exceeded ", " exceeded quota ", " exceeded their quota ", " exceeds quota ", " disk full ", " disk quota ",
	" exceeds allowed size ", " exceeded storage ", " storage quota ", " out of storage ", " insufficient disk ", " insufficient system ", " insufficient storage ", " no space left ", " exceeded the local limit ", " exceed mailbox quota ", " mailbox size limit ", " mailbox quota ",
	" quota full ", " mailbox has exceeded ", " quotaexceeded ", " 一杯のため ", " いっぱいで",
	// expired or not reached
	" timed out ", " time out ", " timeout ", " too long ", " message expired ", " queue expired ", " expired ", " giving up after ", " could not deliver for the last ", " all hosts have been failing ", " delivery failed 20 attempts ",
	" connection refused ", " connection reset ", " connection was dropped ", " lost connection ", " did not accept our requests ", " unable to connect ", " cannot connect ", " couldn t connect ", " wasn t able to establish ", " host not reachable ", " no route to host ", " network is unreachable ", " network error ", " socket error ",
	" host unreachable ", " host is not responding ", " name server reply ", " name server timeout ", " deferred ",
	// for now
	" temporarily ", " temporary ", " try again later ", " try later ", " essayer plus tard ", " try it later ", " rate that prevents ", " receiving mail at a rate ", " receiving mail too quickly ", " too many mails ", " greylist", " graylist", " lock failure ", " error while writing ",
	" delayed ", " not yet been delivered ", " will be retried ", " still being retried ", " could not send message for past ", " could not send mail for past ", " service unavailable try ", " system config error ", " mailer error ", " system error ", " local configuration error ",
	// the path, not the mailbox
	" too many hops ", " mail loop", " loops back ", " routing loop ", " loop detected ", " on hold ",
}

var domainPhrases = []string{
	" nxdomain ", " null mx ", " domain name not found ", " host not found ", " host unknown ", " unknown host ", " no such domain ", " domain does not exist ", " domain doesn t exist ", " domain not found ",
	" indicated no smtp service ", " domain does not accept mail ", " host domain does not accept mail ", " host does not accept mail ", " does not accept mail ", " couldn t find any host ", " couldn t find a mail exchanger ", " unrouteable address ", " unroutable address ", " unrouteable mail domain ",
	" doesn t receive email ", " bad destination system ", " mx invalid ", " unable to look up host ",
}

var hardPhrases = []string{
	// no such mailbox
	" user unknown ", " unknown user ", " users unknown ", " unknown local ", " unknown recipient ", " recipient unknown ", " unknown address ", " address unknown ", " unknown mailbox ", " mailbox unknown ", " unknown or illegal alias ", " unknown email ", " unknown account ",
	" user not exist ", " user not found ", " user does not exist ", " user doesn t exist ", " user no longer ", " no such user ", " no such recipient ", " no such mailbox ", " no such address ", " no such account ", " no such person ", " no such local user ", " no such member ",
	" no mailbox here ", " no mailbox ", " mailbox does not exist ", " mailbox doesn t exist ", " mailbox not found ", " mailbox unavailable ", " mailbox is unavailable ", " mailbox not available ", " mailbox is not available ", " not a valid mailbox ", " not a valid recipient ", " not a known user ", " not a valid user ", " not our customer ",
	" recipient does not exist ", " recipient not found ", " recipnotfound ", " recipientnotfound ", " recipient is not exist ", " recipient name is not recognized ", " recipient no longer ", " invalid recipient", " invalid user ", " invalid mailbox ", " invalid address ", " destinataire invalide ", " bad destination mailbox ",
	" address rejected unknown ", " address does not exist ", " address doesn t exist ", " address not found ", " address wasn t found ", " address couldn t be found ", " account does not exist ", " account that you tried to reach does not exist ", " account doesn t exist ", " email account does not exist ",
	" doesn t have a ", " does not have a ", " does not have an account ", " doesn t have an account ", " not listed in ", " not in directory ", " incorrectly constructed ", " malformed address ", " possibly incorrect ", " all recipient addresses rejected access denied ", " recipient address rejected access denied ",
	" ディレクトリのリストにありません ", " ディレクトリには見つかりません ", " 見つかりません ", " пользователь не найден ", " ist unbekannt ", " unbekannter empfänger ", " utilisateur inconnu ", " usuario desconocido ", " utente sconosciuto ",
	// out of use
	" account is disabled ", " account disabled ", " account has been disabled ", " disabled or discontinued ", " account is locked ", " account inactive ", " inactive account ", " inactive email address ", " account is inactive ", " inactive user ", " account has been suspended ", " account is suspended ", " account suspended ", " mailbox disabled ", " mailbox is disabled ",
	" mailbox is inactive ", " mailbox inactive ", " mailbox is frozen ", " disabled recipient ", " recipient disabled ", " user disabled ", " account closed ", " account has been closed ", " deactivated ", " no longer available ", " no longer in use ", " no longer on server ", " no longer valid ", " no longer accepts ", " discontinued ", " terminated ", " has moved ", " user has left ",
}
