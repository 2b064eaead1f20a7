<?php
// Makes the accounts, once, in the database that all wikis are copies of.
require_once getenv( 'PROOF_CODE' ) . '/maintenance/Maintenance.php';

use MediaWiki\MediaWikiServices;

final class ProofFound extends Maintenance {
	public function execute() {
		$services = MediaWikiServices::getInstance();
		foreach ( json_decode( getenv( 'PROOF_USERS' ), true ) as $name => $groups ) {
			$user = $services->getUserFactory()->newFromName( $name );
			$user->addToDatabase();
			$user->changeAuthenticationData( [
				'username' => $name,
				'password' => getenv( 'PROOF_PASSWORD' ),
				'retype' => getenv( 'PROOF_PASSWORD' ),
			] );
			foreach ( $groups as $group ) {
				$services->getUserGroupManager()->addUserToGroup( $user, $group );
			}
		}
	}
}

$maintClass = ProofFound::class;
require_once RUN_MAINTENANCE_IF_MAIN;
