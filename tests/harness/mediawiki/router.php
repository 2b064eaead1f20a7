<?php
// What the built-in server serves: the two entry points of a wiki, and a sign of life.
$path = parse_url( $_SERVER['REQUEST_URI'], PHP_URL_PATH );
$entry = [ '/w/api.php' => 'api.php', '/w/rest.php' => 'rest.php' ];
if ( $path === '/proof/idle' ) {
	return http_response_code( 204 );
}
foreach ( $entry as $prefix => $file ) {
	if ( $path === $prefix || str_starts_with( $path, "$prefix/" ) ) {
		$_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = $prefix;
		$_SERVER['SCRIPT_FILENAME'] = getenv( 'PROOF_CODE' ) . "/$file";
		if ( $path !== $prefix ) {
			$_SERVER['PATH_INFO'] = substr( rawurldecode( $path ), strlen( $prefix ) );
		}
		chdir( getenv( 'PROOF_CODE' ) );
		require $_SERVER['SCRIPT_FILENAME'];
		if ( isset( $_SERVER['HTTP_X_PROOF_EDITOR'] ) ) {
			// Behind the answer to an editor, never to a reader: tags of reverted edits, categories.
			MediaWiki\MediaWikiServices::getInstance()->getJobRunner()->run( [ 'maxJobs' => 20, 'throttle' => false ] );
		}
		return true;
	}
}
http_response_code( 404 );
