<?php
// The one LocalSettings.php of all wikis. Which of them is asked says the Host header, on the command
// line PROOF_WIKI; all that a wiki writes is below PROOF_FOLDER.

$proofFolder = getenv( 'PROOF_FOLDER' );
$proofWikis = json_decode( file_get_contents( "$proofFolder/wikis.json" ), true );
$proofName = getenv( 'PROOF_WIKI' );
if ( PHP_SAPI !== 'cli' ) {
	$proofHost = preg_replace( '/:\d+$/', '', $_SERVER['HTTP_HOST'] ?? '' );
	$proofName = array_search( $proofHost, array_column( $proofWikis, 'server_name', 'name' ), true );
}
if ( !isset( $proofWikis[$proofName] ) ) {
	http_response_code( 404 );
	die( "Domain not found.\n" );
}
$proofWiki = $proofWikis[$proofName];
$proofData = "$proofFolder/$proofName";

$wgSitename = $proofWiki['site_name'];
$wgServer = $wgCanonicalServer = 'https://' . $proofWiki['server_name'];
$wgServerName = $proofWiki['server_name'];
$wgScriptPath = '/w';
$wgArticlePath = '/wiki/$1';
$wgLanguageCode = $proofWiki['language'];
$wgLocaltimezone = 'UTC';
$wgRightsText = $proofWiki['licence'];
$wgRightsUrl = $proofWiki['licence_url'];
$wgSecretKey = str_repeat( 'proof', 12 );
$wgUpgradeKey = 'proof';

// ── where it keeps things ──
// The gate may ask for an answer from a copy of the database, which is then a replica that lags.
$proofReplica = ctype_digit( $_SERVER['HTTP_X_PROOF_REPLICA'] ?? '' )
	? "$proofData/replica-{$_SERVER['HTTP_X_PROOF_REPLICA']}" : $proofData;
$proofDatabase = static fn ( string $name, ?string $folder = null ) => [
	'type' => 'sqlite',
	'dbname' => $name,
	'tablePrefix' => '',
	// nothing here has to survive a power loss
	'variables' => [ 'synchronous' => 'OFF' ],
	'dbDirectory' => $folder ?? $proofData,
	'trxMode' => 'IMMEDIATE',
	'flags' => 0,
];
$wgDBtype = 'sqlite';
$wgDBname = $proofName;
$wgSQLiteDataDir = $proofReplica;
$wgDBservers = [ $proofDatabase( $proofName, $proofReplica ) + [ 'load' => 1 ] ];
$wgObjectCaches[CACHE_DB] = [
	'class' => SqlBagOStuff::class,
	'server' => $proofDatabase( 'wikicache' ),
];
$wgObjectCaches['db-replicated'] = [
	'factory' => 'Wikimedia\ObjectFactory\ObjectFactory::getObjectFromSpec',
	'args' => [ [ 'factory' => 'ObjectCache::getInstance', 'args' => [ CACHE_DB ] ] ],
];
$wgJobTypeConf['default'] = [
	'class' => 'JobQueueDB',
	'claimTTL' => 3600,
	'server' => $proofDatabase( "{$proofName}_jobqueue" ),
];
// A cache in memory is each process's own here, so it would tell what another one has changed.
$wgMainCacheType = $wgMessageCacheType = $wgParserCacheType = CACHE_NONE;
$wgSessionCacheType = CACHE_DB;
$wgUseDatabaseMessages = false;
$wgLocalisationCacheConf['store'] = 'array';
$wgLocalisationCacheConf['storeDirectory'] = getenv( 'PROOF_LANGUAGES' );
$wgCacheDirectory = $wgTmpDirectory = "$proofData/tmp";
$wgEnableUploads = true;
$wgUploadDirectory = "$proofData/images";
$wgUploadPath = '/images';
$wgUseImageMagick = false;
$wgDebugLogGroups = [ 'exception' => "$proofFolder/exceptions.log", 'error' => "$proofFolder/exceptions.log" ];
$wgShowExceptionDetails = true;
$wgPingback = $wgEnableEmail = $wgUseInstantCommons = false;

// What the recorded answers were made with.
wfLoadExtension( 'Cite' );
wfLoadExtension( 'TextExtracts' );
// Which nearly all of Wikimedia's wikis have; to one here it is unknown.
wfLoadExtension( 'PageImages' );
if ( $proofName === 'deproof' ) {
	$wgExtensionFunctions[] = static function () {
		unset( $GLOBALS['wgAPIPropModules']['pageimages'] );
	};
}

// Where Parsoid makes wikitext of its HTML.
$wgRestAPIAdditionalRouteFiles[] = 'includes/Rest/coreDevelopmentRoutes.json';

// ── who may do what ──
$wgRateLimits = [];
$wgPasswordAttemptThrottle = [];
$wgPasswordDefault = 'pbkdf2';
$wgPasswordConfig['pbkdf2']['cost'] = '1';
$wgAutoConfirmAge = $wgAutoConfirmCount = 0;
// so that somebody without an account has whatever address the caller says
$wgUsePrivateIPs = true;
$wgCdnServers = [ '127.0.0.1' ];
$wgExternalLinkTarget = false;

// ── what it tells ──
$wgRCWatchCategoryMembership = true;
// Whoever did something has its events in the streams when the answer is there.
$wgForceDeferredUpdatesPreSend = true;
// The router runs jobs; not those that nobody here would notice.
$wgJobRunRate = 0;
$wgJobTypesExcludedFromDefaultQueue = array_merge( $wgJobTypesExcludedFromDefaultQueue, [
	'refreshLinks', 'refreshLinksPrioritized', 'htmlCacheUpdate', 'enotifNotify', 'cdnPurge',
	'ThumbnailRender', 'recentChangesUpdate', 'userEditCountInit',
] );
require_once __DIR__ . '/streams.php';
